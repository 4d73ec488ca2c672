//! What drivers of coordinators hear of the engine: by a watch of their own, or by one that a process has for all of them.

use portkeep_fleet_core::engine::Read;
use tokio::sync::broadcast;

use crate::engine::{Engine, EngineError, Event, Range, Watch};

/// A change, or that changes may have been missed.
#[derive(Clone, Debug)]
pub enum Heard {
    /// A key has changed.
    Read(Read),
    /// What is there is to be read again.
    Missed,
    /// Nothing that a driver acts on.
    Nothing,
    /// The certificate's role may not see it.
    Denied(EngineError),
}

impl From<Event> for Heard {
    fn from(event: Event) -> Heard {
        match event {
            // What was deleted meanwhile is not among what is listed.
            // One that could not begin at first has missed what was then.
            Event::Listed { .. } | Event::Resumed => Heard::Missed,
            Event::Read(read) => Heard::Read(read),
            Event::Lost(error @ EngineError::Denied(_)) => Heard::Denied(error),
            Event::Lost(_) | Event::Unreadable(_) => Heard::Nothing,
        }
    }
}

/// Where a driver hears it.
#[derive(Debug)]
pub enum Feed {
    /// A watch of its own.
    Own(Watch),
    /// Others hear it, too.
    Shared(broadcast::Receiver<Heard>),
}

impl Feed {
    /// A watch from now on. Returns when it has begun, or when no member was reached: the driver finds out, too.
    ///
    /// # Errors
    ///
    /// If the certificate's role may not see it.
    pub async fn own(engine: &Engine) -> Result<Feed, EngineError> {
        let ranges = ["n/", "policy/", "grant/", "members/", "removed/"];
        let ranges = ranges.map(|prefix| Range::Prefix(prefix.to_owned()));
        let mut watch = engine.watch_from_now(ranges.to_vec());
        match watch.next().await {
            Event::Lost(error @ EngineError::Denied(_)) => Err(error),
            _ => Ok(Feed::Own(watch)),
        }
    }

    /// The next that is heard. May be cancelled without losing it.
    pub async fn next(&mut self) -> Heard {
        match self {
            Feed::Own(watch) => watch.next().await.into(),
            Feed::Shared(heard) => match heard.recv().await {
                Ok(heard) => heard,
                Err(broadcast::error::RecvError::Lagged(_)) => Heard::Missed,
                Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
            },
        }
    }
}
