use std::collections::BTreeMap;
use std::time::Duration;

use portkeep_fleet_core::agent::{Effect, Input, Note, Refusal};
use portkeep_fleet_core::data::{Key, Name, Obstacle};
use portkeep_fleet_core::engine::{Outcome, Transaction};
use tokio::time::sleep;

use super::driver::{Driver, Message};
use super::store::Work;
use crate::engine::{Engine, EngineError, Lease, jitter};
use crate::output::say;
use crate::points::{When, pass};

/// Between two tries of what the engine does not take.
const PAUSE: Duration = Duration::from_secs(1);

impl Driver {
    pub(super) fn carry_out(&mut self, effect: Effect) {
        let engine = self.engine.clone();
        let point = effect.point();
        match effect {
            Effect::Announce(transaction) => {
                let (messages, number) = (self.messages.clone(), self.number);
                let (lease, seconds) = (self.lease.take(), self.config.timing.lease);
                tokio::spawn(async move {
                    pass(point, When::Before);
                    let (outcome, lease) = announce(&engine, &transaction, lease, seconds).await;
                    pass(point, When::After);
                    let input = Input::Announced(outcome);
                    let _ = messages.send(Message::Announced(number, input, Some(lease)));
                });
            }
            Effect::Vote(id, transaction) => self.votes.push((id, transaction)),
            Effect::Look(key) => self.spawn_input(async move { look(&engine, &key).await }),
            Effect::Note(id, note) => self.enqueue(Work::Note(id, note)),
            Effect::Create(id, note) => self.enqueue(Work::Create(id, note)),
            Effect::Delete(id) => self.enqueue(Work::Delete(id)),
            Effect::Erase(id) => self.enqueue(Work::Erase(id)),
        }
    }

    /// Remembers what the machine holds now, after work on it.
    pub(super) fn remember_notes(&mut self, notes: BTreeMap<Name, Note>) {
        // On the disk how far the engine was, with what was promised then. Grants need no disk.
        let mut new = notes.iter().filter(|(id, _)| !self.notes.contains_key(*id));
        if new.any(|(_, note)| note.lasting) {
            self.memory.save();
        }
        self.notes = notes;
    }

    /// Nothing is noted, so nothing is created: the vote says what is in the way.
    pub(super) fn not_noted(&mut self, id: &Name, obstacles: Vec<Obstacle>) {
        let Some(agent) = &mut self.agent else { return };
        let effects = agent.step(Input::Noted(id.clone(), true));
        let (creates, rest) = without_create(effects, id);
        for effect in rest {
            self.carry_out(effect);
        }
        if creates {
            self.step(Input::Created(id.clone(), Err(Refusal { obstacles })));
        }
    }
}

/// Announces with a lease that is alive; makes one if there is none.
async fn announce(
    engine: &Engine,
    transaction: &Transaction,
    mut lease: Option<Lease>,
    seconds: u32,
) -> (Outcome, Lease) {
    let mut said = false;
    loop {
        let with = match lease.take().filter(|lease| !lease.is_lost()) {
            Some(with) => with,
            None => match engine.lease(seconds).await {
                Ok(made) => made,
                Err(error) => {
                    complain(&mut said, &error);
                    sleep(jitter(PAUSE)).await;
                    continue;
                }
            },
        };
        match engine.transact_with(transaction, &with).await {
            Ok(outcome) => return (outcome, with),
            // The lease is gone, or the engine: the next one is with another.
            Err(error) => {
                if !matches!(&error, EngineError::Refused(text) if text.contains("lease not found"))
                {
                    complain(&mut said, &error);
                }
                with.revoke().await;
                sleep(jitter(PAUSE)).await;
            }
        }
    }
}

/// Once: a watch that is lost says it, too.
fn complain(said: &mut bool, error: &EngineError) {
    if !std::mem::replace(said, true) {
        say(&format!("cannot announce this node: {error}"));
    }
}

/// What certainly was not done is reported as unknown, after a pause: the agent then looks, and votes again.
pub(super) async fn vote(engine: &Engine, transaction: &Transaction) -> Outcome {
    match engine.transact(transaction).await {
        Ok(outcome) => outcome,
        Err(error) => {
            if !matches!(error, EngineError::Unreachable(_)) {
                say(&format!("cannot report: {error}"));
            }
            sleep(jitter(PAUSE)).await;
            Outcome::Unknown
        }
    }
}

async fn look(engine: &Engine, key: &Key) -> Input {
    loop {
        match engine.read(std::slice::from_ref(key)).await {
            Ok(mut reads) => {
                if let Some(read) = reads.pop() {
                    return Input::Read(read);
                }
            }
            Err(_) => sleep(jitter(PAUSE)).await,
        }
    }
}

/// Whether one of them creates a reservation, and the others.
fn without_create(effects: Vec<Effect>, id: &Name) -> (bool, Vec<Effect>) {
    let is_create = |effect: &Effect| matches!(effect, Effect::Create(of, _) if of == id);
    let creates = effects.iter().any(is_create);
    let rest = effects.into_iter().filter(|effect| !is_create(effect));
    (creates, rest.collect())
}
