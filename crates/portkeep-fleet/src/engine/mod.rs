//! etcd: transactions, reads at one instant, watches that survive, and leases.
//!
//! An [`Engine`] has one connection to one member. When that fails, the next one is to another member. All
//! reads are linearizable.

mod connection;
mod error;
mod lease;
mod read;
mod roles;
mod transaction;
mod watch;

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use etcd_client::{Client, ResponseHeader};
use portkeep_fleet_core::data::{Key, Value};

use crate::config::Config;
use connection::Connection;
pub use error::EngineError;
use error::Failure;
pub use lease::Lease;
pub use read::{Listing, Range, Unreadable};
pub use roles::Role;
pub use transaction::MAX_OPERATIONS;
pub use watch::{Event, Watch};

pub(crate) use connection::jitter;
#[allow(unused_imports, reason = "the tests of this crate use it")]
pub(crate) use connection::random;

/// How long a key and its value may be together.
const MAX_MESSAGE: usize = 64 * 1024 * 1024;

/// How often a request that certainly was not carried out is made again.
const TRIES: u32 = 8;

/// A fleet's part of etcd. Clones share one connection.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

struct Inner {
    connection: Connection,
    prefix: String,
    cluster: AtomicU64,
    revision: AtomicI64,
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine")
            .field("prefix", &self.inner.prefix)
            .finish_non_exhaustive()
    }
}

impl Engine {
    /// The engine of a configuration. It connects when it is asked first.
    pub fn new(config: Config) -> Engine {
        let prefix = config.prefix();
        Engine {
            inner: Arc::new(Inner {
                connection: Connection::new(config),
                prefix,
                cluster: AtomicU64::new(0),
                revision: AtomicI64::new(0),
            }),
        }
    }

    /// The configuration.
    pub fn config(&self) -> &Config {
        self.inner.connection.config()
    }

    /// The ID of the cluster that answered last: another one, if etcd was made anew.
    pub fn cluster(&self) -> Option<u64> {
        Some(self.inner.cluster.load(Ordering::Relaxed)).filter(|cluster| *cluster != 0)
    }

    /// The highest revision that etcd has answered with.
    pub fn revision(&self) -> i64 {
        self.inner.revision.load(Ordering::Relaxed)
    }

    /// Waits until etcd answers, for as long as it takes to ask each member once.
    ///
    /// # Errors
    ///
    /// If no member answers.
    pub async fn connect(&self) -> Result<(), EngineError> {
        let members = self.config().engine.len();
        let mut last = EngineError::Unreachable("no member".to_owned());
        for _ in 0..members {
            match self.read(&[Key::Config]).await {
                // Whoever may not read it has been answered, too.
                Ok(_) | Err(EngineError::Denied(_) | EngineError::Unreadable(_)) => return Ok(()),
                Err(error) if error.is_of_the_member() => last = error,
                Err(error) => return Err(error),
            }
        }
        Err(last)
    }

    /// Makes etcd forget what was before a revision, as operators' tools do.
    ///
    /// # Errors
    ///
    /// If etcd does not answer.
    #[cfg(feature = "testing")]
    pub async fn compact(
        &self,
        revision: portkeep_fleet_core::engine::Revision,
    ) -> Result<(), EngineError> {
        let revision = revision.0.cast_signed();
        let done = self.ask(|mut client| async move { client.compact(revision, None).await });
        done.await.map(drop).map_err(Failure::error)
    }

    /// Deletes all keys of the fleet, as an operator can.
    ///
    /// # Errors
    ///
    /// If etcd does not answer.
    #[cfg(feature = "testing")]
    pub async fn delete_all(&self) -> Result<(), EngineError> {
        let all = Range::Prefix(String::new());
        let (from, end) = self.bounds(&all);
        let options = etcd_client::DeleteOptions::new().with_range(end.unwrap_or_default());
        let deleted = self.ask(|mut client| {
            let (from, options) = (from.clone(), options.clone());
            async move { client.delete(from, Some(options)).await }
        });
        deleted.await.map(drop).map_err(Failure::error)
    }

    /// Ends a lease from outside, as an operator can.
    #[cfg(feature = "testing")]
    pub async fn revoke(&self, lease: &Lease) {
        let id = lease.id();
        let _ = self
            .once(|mut client| async move { client.lease_revoke(id).await })
            .await;
    }

    pub(crate) fn prefix(&self) -> &str {
        &self.inner.prefix
    }

    fn path(&self, key: &Key) -> String {
        format!("{}{key}", self.inner.prefix)
    }

    /// The key of what etcd has at a path: nothing, if a later version or somebody else put it there.
    fn key(&self, path: &[u8]) -> Option<Key> {
        let path = std::str::from_utf8(path).ok()?;
        path.strip_prefix(&self.inner.prefix)?.parse().ok()
    }

    fn heard(&self, header: Option<&ResponseHeader>) {
        if let Some(header) = header {
            let cluster = self
                .inner
                .cluster
                .swap(header.cluster_id(), Ordering::Relaxed);
            let revision = &self.inner.revision;
            match cluster == header.cluster_id() {
                true => drop(revision.fetch_max(header.revision(), Ordering::Relaxed)),
                false => revision.store(header.revision(), Ordering::Relaxed),
            }
        }
    }

    /// Makes a request that changes nothing, and makes it of other members if one does not answer.
    async fn ask<T, F>(&self, request: impl Fn(Client) -> F) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, etcd_client::Error>>,
    {
        let members = u32::try_from(self.config().engine.len()).unwrap_or(TRIES);
        let mut tries = 0;
        loop {
            tries += 1;
            let failure = match self.once(&request).await {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            match failure {
                Failure::Unknown(_) if tries < members.clamp(2, TRIES) => {}
                Failure::Again(_) if tries < TRIES => self.rest().await,
                failure => return Err(failure),
            }
        }
    }

    /// Makes a request once.
    async fn once<T, F>(&self, request: impl Fn(Client) -> F) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, etcd_client::Error>>,
    {
        let connection = &self.inner.connection;
        let connected = connection.get().await.map_err(Failure::Certain)?;
        let timeout = self.config().timing.answer();
        let answer = tokio::time::timeout(timeout, request(connected.client)).await;
        let failure = match answer {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(error)) => Failure::from(error),
            Err(_) => Failure::Unknown(EngineError::Unreachable(format!(
                "no answer within {} ms",
                timeout.as_millis()
            ))),
        };
        if matches!(failure, Failure::Unknown(_)) {
            connection.leave(connected.generation);
        }
        Err(failure)
    }

    async fn rest(&self) {
        tokio::time::sleep(jitter(Duration::from_millis(50))).await;
    }

    fn decode(&self, key: &Key, bytes: &[u8]) -> Result<Value, EngineError> {
        let value = Value::decode(key, bytes);
        value.map_err(|error| EngineError::Unreadable(format!("{key}: {error}")))
    }
}
