//! Votes on several reservations go in one transaction, if they come at once. Each stands for itself: if one is out of date,
//! each is sent alone.

use portkeep_fleet_core::agent::Input;
use portkeep_fleet_core::data::Name;
use portkeep_fleet_core::engine::{Outcome, Transaction};
use portkeep_fleet_core::points::Point;

use super::driver::{Driver, Message};
use super::effects::vote;
use crate::engine::{Engine, MAX_OPERATIONS};
use crate::points::{When, pass};

/// A vote compares the inbox, the report before it and who acts for the node.
const AT_ONCE: usize = MAX_OPERATIONS / 3;

type Vote = (Name, Transaction);

impl Driver {
    /// Sends the votes that have come since.
    pub(super) fn send_votes(&mut self) {
        let mut votes = std::mem::take(&mut self.votes);
        while !votes.is_empty() {
            let rest = votes.split_off(votes.len().min(AT_ONCE));
            let (engine, messages, number) =
                (self.engine.clone(), self.messages.clone(), self.number);
            tokio::spawn(async move {
                for (id, outcome) in send(&engine, votes).await {
                    let _ = messages.send(Message::Input(number, Input::Voted(id, outcome)));
                }
            });
            votes = rest;
        }
    }
}

async fn send(engine: &Engine, votes: Vec<Vote>) -> Vec<(Name, Outcome)> {
    if votes.len() > 1
        && let Some(outcomes) = send_together(engine, &votes).await
    {
        return outcomes;
    }
    let mut outcomes = Vec::with_capacity(votes.len());
    for (id, transaction) in votes {
        pass(Point::Vote, When::Before);
        let outcome = vote(engine, &transaction).await;
        pass(Point::Vote, When::After);
        outcomes.push((id, outcome));
    }
    outcomes
}

/// None, if one of them does not stand.
async fn send_together(engine: &Engine, votes: &[Vote]) -> Option<Vec<(Name, Outcome)>> {
    let mut all = Transaction::default();
    for (_, transaction) in votes {
        for compare in &transaction.compares {
            if !all.compares.contains(compare) {
                all.compares.push(compare.clone());
            }
        }
        all.writes.extend(transaction.writes.iter().cloned());
    }
    pass(Point::Vote, When::Before);
    let outcome = vote(engine, &all).await;
    pass(Point::Vote, When::After);
    let of = |(id, transaction): &Vote| {
        let outcome = match &outcome {
            Outcome::Done(written) => {
                let is_own = |key| transaction.writes.iter().any(|own| own.key() == key);
                let own = written.iter().filter(|(key, _)| is_own(key));
                Outcome::Done(own.cloned().collect())
            }
            _ => Outcome::Unknown,
        };
        (id.clone(), outcome)
    };
    let is_answer = !matches!(outcome, Outcome::Differs(_));
    is_answer.then(|| votes.iter().map(of).collect())
}
