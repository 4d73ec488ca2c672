use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::error::Failure;
use super::{Engine, EngineError, jitter};

/// A lease that is kept alive until it is dropped. Keys that were written with it go with it.
#[derive(Debug)]
pub struct Lease {
    id: i64,
    engine: Engine,
    lost: watch::Receiver<bool>,
    keeper: JoinHandle<()>,
}

impl Engine {
    /// Makes a lease that ends after so many seconds without word of this process.
    ///
    /// # Errors
    ///
    /// If etcd does not answer.
    pub async fn lease(&self, seconds: u32) -> Result<Lease, EngineError> {
        let made =
            self.ask(|mut client| async move { client.lease_grant(seconds.into(), None).await });
        let made = made.await.map_err(Failure::error)?;
        self.heard(made.header());
        let (tell, lost) = watch::channel(false);
        let id = made.id();
        let engine = self.clone();
        let keeper = tokio::spawn(async move {
            engine.keep(id, seconds).await;
            let _ = tell.send(true);
        });
        Ok(Lease {
            id,
            engine: self.clone(),
            lost,
            keeper,
        })
    }

    /// Returns when etcd says that there is no such lease any more. Whether time enough has passed for that
    /// is etcd's to judge: after an election, it gives all leases their time again.
    async fn keep(&self, id: i64, seconds: u32) {
        let pause = Duration::from_secs(seconds.into()) / 3;
        let again = pause.min(Duration::from_secs(1));
        loop {
            let connection = self.inner.connection.get().await;
            let Ok(mut connected) = connection else {
                sleep(jitter(again)).await;
                continue;
            };
            let wait = self.config().timing.answer();
            match timeout(wait, connected.client.lease_keep_alive(id)).await {
                Ok(Ok((mut keeper, mut stream))) => loop {
                    sleep(pause).await;
                    if !self.inner.connection.is_current(connected.generation) {
                        break;
                    }
                    let answer = async {
                        keeper.keep_alive().await?;
                        stream.message().await
                    };
                    match timeout(wait, answer).await {
                        Ok(Ok(Some(answer))) if answer.ttl() > 0 => {}
                        Ok(Ok(Some(_))) => return,
                        _ => {
                            self.inner.connection.leave(connected.generation);
                            break;
                        }
                    }
                },
                Ok(Err(etcd_client::Error::LeaseKeepAliveError(_))) => return,
                _ => {
                    self.inner.connection.leave(connected.generation);
                    sleep(jitter(again)).await;
                }
            }
        }
    }
}

impl Lease {
    pub(super) fn id(&self) -> i64 {
        self.id
    }

    /// Waits until the lease is gone.
    pub async fn lost(&self) {
        // The keeper's end means the same.
        let _ = self.lost.clone().wait_for(|lost| *lost).await;
    }

    /// Whether the lease is gone, as far as this process has heard.
    pub fn is_lost(&self) -> bool {
        *self.lost.borrow()
    }

    /// Ends the lease, and deletes its keys, now.
    pub async fn revoke(self) {
        self.keeper.abort();
        let id = self.id;
        let _ = self
            .engine
            .once(|mut client| async move { client.lease_revoke(id).await })
            .await;
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}
