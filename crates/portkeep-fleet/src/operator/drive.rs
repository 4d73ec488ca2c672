//! The driver of one coordinator: it carries out effects, watches what they are about, waits, and listens for
//! Ctrl-C.

use std::collections::VecDeque;
use std::future::{Future, pending};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use portkeep_fleet_core::coordinator::{Answer, Coordinator, Effect, Goal, Input};
use portkeep_fleet_core::data::{FORMAT, Hold, Key, Kind, Name, Unknown, Value};
use portkeep_fleet_core::engine::{Outcome, Revision, Transaction};
use portkeep_fleet_core::points::Point;
use portkeep_fleet_core::rules::Rules;
use tokio::time::{Instant, sleep_until};

use super::feed::{Feed, Heard};
use crate::engine::{Engine, EngineError, Lease};
use crate::error::{Error, Result};
use crate::points::{When, pass};

/// How a coordinator is driven.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// How long nodes have to answer.
    pub wait: Duration,
    /// How long to wait afterwards until nothing is left of what was refused or released.
    pub cleanup: Duration,
}

/// How long to wait until nothing is left of what was refused.
pub const CLEANUP: Duration = Duration::from_secs(10);

/// What came of it.
#[derive(Debug)]
pub struct Driven {
    /// What the coordinator said first that matters: committed, refused, ended, …
    pub answer: Answer,
    /// Whether something is left that a later command has to finish, as a node that is down has to hear of it.
    pub is_left: bool,
    /// The user has pressed Ctrl-C.
    pub interrupted: bool,
    /// Nodes have not answered in time.
    pub timed_out: bool,
    /// The version of the hold that was written with the record.
    pub held: Option<Revision>,
}

/// A hold that is written with the record, by the same transaction.
#[derive(Clone, Debug)]
pub struct Holding {
    /// The lease that it goes with.
    pub lease: Arc<Lease>,
    /// Who holds.
    pub by: String,
    /// Whether it stays after the decision.
    pub stays: bool,
}

/// Says on the engine that somebody is at work on a reservation, as long as the lease is kept.
///
/// # Errors
///
/// If etcd does not answer.
pub async fn hold(engine: &Engine, id: &Name) -> Result<Lease> {
    hold_for(engine, id, "", engine.config().timing.lease).await
}

/// [`hold`], for whom, with a lease of so many seconds.
///
/// # Errors
///
/// If etcd does not answer.
pub async fn hold_for(engine: &Engine, id: &Name, by: &str, seconds: u32) -> Result<Lease> {
    let lease = engine.lease(seconds).await?;
    let transaction = Transaction::default().put(Key::Hold(id.clone()), held(by));
    match engine.transact_with(&transaction, &lease).await? {
        Outcome::Unknown => Err(Error::undecided("etcd's answer was lost")
            .with_hint("nothing was begun; run the same command again")),
        Outcome::Done(_) | Outcome::Differs(_) => Ok(lease),
    }
}

/// The value of a hold.
pub fn held(by: &str) -> Value {
    Value::Hold(Hold {
        format: FORMAT,
        by: by.to_owned(),
        unknown: Unknown::new(),
    })
}

/// Drives what another coordinator began, and waits as long as is said for what is to be left afterwards.
///
/// # Errors
///
/// As [`drive`].
pub async fn resume(
    engine: &Engine,
    kind: Kind,
    id: &Name,
    goal: Goal,
    wait: Duration,
) -> Result<Driven> {
    resume_with(engine, Feed::own(engine).await?, kind, id, goal, wait).await
}

/// [`resume`], with a feed that has begun.
///
/// # Errors
///
/// As [`drive`].
pub async fn resume_with(
    engine: &Engine,
    feed: Feed,
    kind: Kind,
    id: &Name,
    goal: Goal,
    wait: Duration,
) -> Result<Driven> {
    let coordinator = Coordinator::resume(kind, id.clone(), goal, Rules::default());
    let patience = Patience {
        wait,
        cleanup: wait,
    };
    drive_with(engine, feed, None, coordinator, patience).await
}

/// [`resume`], and says on the engine meanwhile that somebody is at work on it.
///
/// # Errors
///
/// As [`hold`] and [`drive`].
pub async fn resume_held(
    engine: &Engine,
    kind: Kind,
    id: &Name,
    goal: Goal,
    wait: Duration,
) -> Result<Driven> {
    let lease = hold(engine, id).await?;
    let driven = resume(engine, kind, id, goal, wait).await?;
    lease.revoke().await;
    Ok(driven)
}

/// Drives a coordinator until there is an answer, and nothing to be done for it.
///
/// # Errors
///
/// [`Kind::Undecided`](crate::error::Kind::Undecided) if the engine is lost in the middle.
pub async fn drive(
    engine: &Engine,
    coordinator: Coordinator,
    patience: Patience,
) -> Result<Driven> {
    let feed = Feed::own(engine).await?;
    drive_with(engine, feed, None, coordinator, patience).await
}

/// [`drive`], with a feed that has begun, and perhaps a hold.
///
/// # Errors
///
/// As [`drive`].
pub async fn drive_with(
    engine: &Engine,
    feed: Feed,
    holding: Option<Holding>,
    coordinator: Coordinator,
    patience: Patience,
) -> Result<Driven> {
    let driver = Driver {
        engine,
        feed,
        holding,
        held: None,
        answer: None,
        interrupted: false,
        timed_out: false,
        deadline: Instant::now() + patience.wait,
        patience,
        over: false,
        coordinator,
    };
    driver.run().await
}

/// Ends when the user wants it to.
pub type Interrupt = Pin<Box<dyn Future<Output = ()> + Send>>;

struct Driver<'a> {
    engine: &'a Engine,
    coordinator: Coordinator,
    feed: Feed,
    holding: Option<Holding>,
    held: Option<Revision>,
    patience: Patience,
    deadline: Instant,
    over: bool,
    answer: Option<Answer>,
    interrupted: bool,
    timed_out: bool,
}

impl Driver<'_> {
    async fn run(mut self) -> Result<Driven> {
        let mut interrupt = interrupted();
        let mut effects: VecDeque<Effect> = self.coordinator.step(Input::Start).into();
        loop {
            while let Some(effect) = effects.pop_front() {
                if let Some(input) = self.carry_out(effect).await? {
                    effects.extend(self.coordinator.step(input));
                }
            }
            if self.is_done() {
                return Ok(self.driven(false));
            }
            tokio::select! {
                heard = self.feed.next() => {
                    if let Some(input) = self.heard(heard).await? {
                        effects.extend(self.coordinator.step(input));
                    }
                }
                () = sleep_until(self.deadline) => {
                    if self.over || self.answer.is_some() {
                        return Ok(self.driven(true));
                    }
                    self.timed_out = true;
                    self.end_waiting();
                    effects.extend(self.coordinator.step(Input::Deadline));
                }
                () = &mut interrupt => {
                    if self.interrupted {
                        return Ok(self.driven(true));
                    }
                    self.interrupted = true;
                    interrupt = interrupted();
                    self.end_waiting();
                    effects.extend(self.coordinator.step(Input::Deadline));
                }
            }
        }
    }

    /// From now on, the coordinator ends what is not decided.
    fn end_waiting(&mut self) {
        self.over = true;
        self.deadline = Instant::now() + self.patience.cleanup;
    }

    fn driven(self, is_left: bool) -> Driven {
        Driven {
            answer: self.answer.unwrap_or(Answer::Unknown),
            is_left,
            interrupted: self.interrupted,
            timed_out: self.timed_out,
            held: self.held,
        }
    }

    /// Whether there is nothing more to wait for.
    fn is_done(&self) -> bool {
        let said = self.coordinator.answer();
        matches!(
            said,
            Some(Answer::Committed | Answer::Gone | Answer::Taken | Answer::Unknown)
        )
    }

    async fn carry_out(&mut self, effect: Effect) -> Result<Option<Input>> {
        Ok(Some(match effect {
            Effect::Look(keys) => Input::Looked(self.engine.read(&keys).await?),
            Effect::Scan => Input::Scanned(self.scan().await?),
            Effect::Apply(point, transaction) => {
                pass(point, When::Before);
                let outcome = self.apply(point, transaction).await?;
                pass(point, When::After);
                Input::Applied(outcome)
            }
            Effect::Answer(answer) => {
                self.take(answer);
                return Ok(None);
            }
        }))
    }

    async fn apply(
        &mut self,
        point: Point,
        transaction: Transaction,
    ) -> Result<Outcome, EngineError> {
        let key = Key::Hold(self.coordinator.id().clone());
        match (&self.holding, point) {
            (Some(holding), Point::Prepare) => {
                let transaction = transaction.put(key.clone(), held(&holding.by));
                let outcome = self.engine.transact_holding(&transaction, &holding.lease);
                let outcome = outcome.await?;
                if let Outcome::Done(written) = &outcome {
                    let hold = written.iter().find(|(of, _)| *of == key);
                    self.held = hold.map(|(_, revision)| *revision);
                }
                Ok(outcome)
            }
            (Some(holding), Point::Commit) if !holding.stays => {
                let outcome = self.engine.transact(&transaction.delete(key)).await?;
                if let Outcome::Done(_) = &outcome {
                    self.held = None;
                }
                Ok(outcome)
            }
            _ => self.engine.transact(&transaction).await,
        }
    }

    /// Gone says that nothing is left. What it was before that is the answer.
    fn take(&mut self, answer: Answer) {
        if self.answer.is_none() || answer != Answer::Gone {
            if !self.over && answer != Answer::Committed {
                self.end_waiting();
            }
            self.answer = Some(answer);
        }
    }

    async fn scan(&self) -> Result<Vec<Name>> {
        let listing = self.engine.list("n/").await?;
        let id = self.coordinator.id();
        let nodes = listing.reads.iter().filter_map(|read| match &read.key {
            Key::Have(node, of) if of == id => Some(node.clone()),
            _ => None,
        });
        Ok(nodes.collect())
    }

    async fn heard(&self, heard: Heard) -> Result<Option<Input>> {
        let reads = match heard {
            Heard::Missed => self.engine.read(&self.coordinator.keys()).await?,
            Heard::Read(read) if self.coordinator.watches(&read.key) => vec![read],
            Heard::Denied(error) => return Err(error.into()),
            Heard::Read(_) | Heard::Nothing => Vec::new(),
        };
        Ok((!reads.is_empty()).then_some(Input::Changed(reads)))
    }
}

/// The next Ctrl-C, or the wish of a service manager. From the call on, neither ends the process.
pub fn interrupted() -> Interrupt {
    use tokio::signal::unix::{SignalKind, signal};
    let signals = [SignalKind::interrupt(), SignalKind::terminate()].map(signal);
    Box::pin(async move {
        let [Ok(mut interrupt), Ok(mut terminate)] = signals else {
            return pending().await;
        };
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}
