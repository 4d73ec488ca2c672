//! The fleet as a steward sees it, by one watch for all that it does.
//!
//! What it shows may be some milliseconds old. It is good enough to choose by: nodes decide. What it is against is read
//! again before somebody is refused.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use portkeep_fleet_core::data::{Key, Kind, Name};
use portkeep_fleet_core::engine::{Read, Versioned};
use tokio::sync::{Notify, broadcast};
use tokio::time::timeout;

use crate::engine::{Engine, EngineError, Event, Range, Unreadable};
use crate::operator::feed::{Feed, Heard};
use crate::operator::fleet::Fleet;

/// Whoever is behind by more reads again.
const QUEUE: usize = 4096;

/// How long a grant that is decided may take to be seen.
const PATIENCE: Duration = Duration::from_secs(1);

/// The view.
#[derive(Debug)]
pub struct View {
    engine: Engine,
    state: Mutex<State>,
    heard: broadcast::Sender<Heard>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// The watch goes on.
    is_current: bool,
    found: BTreeMap<Key, Versioned>,
    unreadable: BTreeMap<Key, Unreadable>,
}

impl View {
    /// Begins to watch. To be called within a runtime.
    pub fn new(engine: Engine) -> Arc<View> {
        let view = Arc::new(View {
            engine,
            state: Mutex::default(),
            heard: broadcast::channel(QUEUE).0,
            changed: Notify::new(),
        });
        tokio::spawn(view.clone().follow());
        view
    }

    async fn follow(self: Arc<View>) {
        let mut watch = self.engine.watch(vec![Range::Prefix(String::new())]);
        loop {
            let event = watch.next().await;
            self.state().take(&event);
            // Nobody may be listening.
            let _ = self.heard.send(event.into());
            self.changed.notify_waiters();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// For a driver that begins now.
    ///
    /// # Errors
    ///
    /// As [`Feed::own`].
    pub async fn feed(&self) -> Result<Feed, EngineError> {
        let heard = self.heard.subscribe();
        let is_current = self.state().is_current;
        match is_current {
            true => Ok(Feed::Shared(heard)),
            false => Feed::own(&self.engine).await,
        }
    }

    /// The fleet, if it is watched now.
    pub fn fleet(&self) -> Option<Fleet> {
        let state = self.state();
        let reads = state.found.iter().map(|(key, found)| Read {
            key: key.clone(),
            found: Some(found.clone()),
        });
        let reads = state.is_current.then(|| reads.collect())?;
        Some(Fleet::of(
            reads,
            state.unreadable.values().cloned().collect(),
        ))
    }

    /// Waits until a grant that is decided is seen: who asks next is to be judged with it.
    pub async fn has_seen(&self, id: &Name) {
        let key = Kind::Grant.record(id);
        let seen = async {
            loop {
                let changed = self.changed.notified();
                if self.state().has(&key) {
                    return;
                }
                changed.await;
            }
        };
        let _ = timeout(PATIENCE, seen).await;
    }
}

impl State {
    /// Whether it is there, or cannot be seen.
    fn has(&self, key: &Key) -> bool {
        self.found.contains_key(key) || !self.is_current
    }

    fn take(&mut self, event: &Event) {
        match event {
            Event::Listed { listing, .. } => {
                let found = listing.reads.iter();
                let found = found.filter_map(|it| Some((it.key.clone(), it.found.clone()?)));
                self.found = found.collect();
                let unreadable = listing.unreadable.iter();
                self.unreadable = unreadable.map(|it| (it.key.clone(), it.clone())).collect();
                self.is_current = true;
            }
            Event::Read(read) => {
                self.unreadable.remove(&read.key);
                match &read.found {
                    Some(found) => drop(self.found.insert(read.key.clone(), found.clone())),
                    None => drop(self.found.remove(&read.key)),
                }
            }
            Event::Unreadable(it) => {
                self.found.remove(&it.key);
                self.unreadable.insert(it.key.clone(), it.clone());
            }
            Event::Lost(_) => self.is_current = false,
            Event::Resumed => self.is_current = true,
        }
    }
}
