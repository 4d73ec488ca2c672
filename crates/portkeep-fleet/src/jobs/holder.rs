//! What a steward holds: all of it with one lease, which goes with the steward.

use std::sync::Arc;
use std::time::Duration;

use portkeep_fleet_core::data::{Key, Name};
use portkeep_fleet_core::engine::{Outcome, Revision, Transaction};
use tokio::sync::{Mutex, Notify};
use tokio::time::sleep;

use crate::engine::{Engine, EngineError, Lease, jitter};
use crate::operator::drive::held;

/// Between two tries.
const PAUSE: Duration = Duration::from_secs(1);

/// The lease.
#[derive(Debug)]
pub struct Holder {
    engine: Engine,
    lease: Mutex<Option<Arc<Lease>>>,
    left: Notify,
}

impl Holder {
    pub fn new(engine: Engine) -> Arc<Holder> {
        Arc::new(Holder {
            engine,
            lease: Mutex::new(None),
            left: Notify::new(),
        })
    }

    /// The lease, or a new one if it is gone.
    pub async fn lease(&self) -> Result<Arc<Lease>, EngineError> {
        let mut place = self.lease.lock().await;
        if let Some(lease) = place.as_ref().filter(|lease| !lease.is_lost()) {
            return Ok(lease.clone());
        }
        // As that of two agents: a steward that starts anew is to find what it held.
        let seconds = self.engine.config().timing.lease.saturating_mul(2);
        let lease = Arc::new(self.engine.lease(seconds).await?);
        *place = Some(lease.clone());
        Ok(lease)
    }

    /// Nothing is to go with this lease any more: etcd does not know it, or something may have been written with it that
    /// nobody knows of, and that is to go. What is held is written with another.
    pub async fn leave(&self, lease: &Arc<Lease>) {
        let mut place = self.lease.lock().await;
        if place.as_ref().is_some_and(|it| Arc::ptr_eq(it, lease)) {
            *place = None;
            self.left.notify_waiters();
        }
    }

    /// Waits until a lease is lost or left.
    async fn over(&self, lease: &Arc<Lease>) {
        loop {
            let left = self.left.notified();
            let place = self.lease.lock().await;
            let is_current = place.as_ref().is_some_and(|it| Arc::ptr_eq(it, lease));
            drop(place);
            if lease.is_lost() || !is_current {
                return;
            }
            tokio::select! {
                () = left => {}
                () = lease.lost() => {}
            }
        }
    }

    /// Takes back a hold of what was not decided.
    pub fn give_up(self: &Arc<Self>, id: Name, lease: Arc<Lease>, written: Option<Revision>) {
        let holder = self.clone();
        tokio::spawn(async move {
            match written {
                Some(at) => {
                    let written = Some((lease, at));
                    Hold::new(holder, id, String::new(), written).end().await;
                }
                None => holder.leave(&lease).await,
            }
        });
    }
}

/// Whether a transaction failed as its lease is gone.
pub fn is_lease_gone(error: &str) -> bool {
    error.contains("lease not found")
}

/// One hold.
#[derive(Debug)]
pub struct Hold {
    holder: Arc<Holder>,
    id: Name,
    by: String,
    /// The lease that it is written with, and its version.
    written: Option<(Arc<Lease>, Revision)>,
}

impl Hold {
    /// One that is to be written, or was.
    pub fn new(
        holder: Arc<Holder>,
        id: Name,
        by: String,
        written: Option<(Arc<Lease>, Revision)>,
    ) -> Hold {
        Hold {
            holder,
            id,
            by,
            written,
        }
    }

    /// Says on the engine that it is held, for as long as this runs. After an outage it says so again.
    pub async fn keep(&mut self) {
        loop {
            if let Some((lease, _)) = &self.written {
                self.holder.over(lease).await;
                self.written = None;
            }
            let _ = self.write().await;
            if self.written.is_none() {
                sleep(jitter(PAUSE)).await;
            }
        }
    }

    async fn write(&mut self) -> Result<(), EngineError> {
        let lease = self.holder.lease().await?;
        let put = Transaction::default().put(Key::Hold(self.id.clone()), held(&self.by));
        let outcome = self.holder.engine.transact_with(&put, &lease).await;
        match &outcome {
            Ok(Outcome::Done(written)) => {
                self.written = written.first().map(|(_, at)| (lease, *at));
            }
            Ok(Outcome::Unknown) => self.holder.leave(&lease).await,
            Err(error) if is_lease_gone(&error.to_string()) => self.holder.leave(&lease).await,
            Ok(Outcome::Differs(_)) | Err(_) => {}
        }
        outcome.map(drop)
    }

    /// Takes it back, unless somebody else holds by now.
    pub async fn end(self) {
        let Some((lease, at)) = self.written else {
            return;
        };
        let key = Key::Hold(self.id);
        let delete = Transaction::default()
            .expect(key.clone(), Some(at))
            .delete(key);
        while !lease.is_lost() {
            match self.holder.engine.transact(&delete).await {
                Ok(Outcome::Done(_) | Outcome::Differs(_)) => return,
                Ok(Outcome::Unknown) | Err(_) => sleep(jitter(PAUSE)).await,
            }
        }
    }
}
