//! The driver of one coordinator: it carries out effects, watches what they are about, waits, and listens for
//! Ctrl-C.

use std::collections::VecDeque;
use std::future::{Future, pending};
use std::pin::Pin;
use std::time::Duration;

use portkeep_fleet_core::coordinator::{Answer, Coordinator, Effect, Goal, Input};
use portkeep_fleet_core::data::{FORMAT, Hold, Key, Kind, Name, Unknown, Value};
use portkeep_fleet_core::engine::{Outcome, Transaction};
use portkeep_fleet_core::rules::Rules;
use tokio::time::{Instant, sleep_until};

use crate::engine::{Engine, EngineError, Event, Lease, Range, Watch};
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
    let key = Key::Hold(id.clone());
    let value = Value::Hold(Hold {
        format: FORMAT,
        by: by.to_owned(),
        unknown: Unknown::new(),
    });
    let transaction = Transaction::default().put(key, value);
    match engine.transact_with(&transaction, &lease).await? {
        Outcome::Unknown => Err(Error::undecided("etcd's answer was lost")
            .with_hint("nothing was begun; run the same command again")),
        Outcome::Done(_) | Outcome::Differs(_) => Ok(lease),
    }
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
    let coordinator = Coordinator::resume(kind, id.clone(), goal, Rules::default());
    let patience = Patience {
        wait,
        cleanup: wait,
    };
    drive(engine, coordinator, patience).await
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
    let ranges = ["n/", "policy/", "grant/", "members/", "removed/"];
    let ranges = ranges.map(|prefix| Range::Prefix(prefix.to_owned()));
    let driver = Driver {
        engine,
        watch: engine.watch(ranges.to_vec()),
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
    watch: Watch,
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
                event = self.watch.next() => {
                    if let Some(input) = self.heard(event).await? {
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
                let outcome = self.engine.transact(&transaction).await?;
                pass(point, When::After);
                Input::Applied(outcome)
            }
            Effect::Answer(answer) => {
                self.take(answer);
                return Ok(None);
            }
        }))
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

    async fn heard(&self, event: Event) -> Result<Option<Input>> {
        let reads = match event {
            // What was deleted meanwhile is not among what is listed.
            Event::Listed { .. } => self.engine.read(&self.coordinator.keys()).await?,
            Event::Read(read) if self.coordinator.watches(&read.key) => vec![read],
            Event::Lost(error @ EngineError::Denied(_)) => return Err(error.into()),
            _ => Vec::new(),
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
