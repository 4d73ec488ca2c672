//! Acquiring: other nodes and numbers are tried where a node refuses.

use std::time::Duration;

use portkeep::Protocol;
use portkeep_fleet_core::coordinator::{Answer as Decided, Coordinator};
use portkeep_fleet_core::data::{Kind, Members, Name, Ports, Record};
use portkeep_fleet_core::rules::Rules;

use super::candidates::Candidates;
use super::holder::{Hold, is_lease_gone};
use super::local::{Answer, Granted};
use super::numbers::Numbers;
use super::quota::over;
use super::steward::Steward;
use super::wish::Wish;
use crate::error::{Error, Result};
use crate::operator::ask::random_name;
use crate::operator::drive::{CLEANUP, Driven, Holding, Patience, drive_with};
use crate::operator::fleet::Fleet;
use crate::operator::report::{InTheWay, all};

/// How often numbers are chosen.
pub const TRIES: u32 = 8;

/// Marks a grant that ends with its holder.
pub const HELD: &str = "held";

/// What is known when numbers are chosen.
struct Plan {
    fleet: Fleet,
    candidates: Candidates,
    numbers: Numbers,
}

impl Plan {
    /// Or what is against the wish.
    fn of(fleet: Fleet, wish: &Wish, owner: &str) -> Result<std::result::Result<Plan, Answer>> {
        let config = fleet.config()?;
        let candidates = match Candidates::of(&fleet, wish) {
            Ok(candidates) => candidates,
            Err(answer) => return Ok(Err(answer)),
        };
        if owner != "root"
            && let Some(answer) = over(&config.quota, &fleet, wish, candidates.wanted, owner)
        {
            return Ok(Err(answer));
        }
        let counts = [(Protocol::Tcp, wish.tcp), (Protocol::Udp, wish.udp)];
        let numbers = Numbers::new(config, &fleet, counts)?;
        Ok(Ok(Plan {
            fleet,
            candidates,
            numbers,
        }))
    }

    fn next(&mut self, in_the_way: &[InTheWay]) -> std::result::Result<(Vec<Name>, Ports), Answer> {
        let wanted = self.candidates.wanted;
        let Some(nodes) = self.candidates.next() else {
            return Err(none_left(in_the_way.to_vec(), wanted));
        };
        let chosen = self.numbers.choose(&self.fleet, &nodes);
        let refused = |message| Answer::Refused {
            message,
            hint: None,
            in_the_way: in_the_way.to_vec(),
        };
        chosen.map(|ports| (nodes, ports)).map_err(refused)
    }
}

impl Steward {
    /// What is seen is good enough to choose by. What it is against is read before somebody is refused.
    async fn plan(
        &self,
        wish: &Wish,
        owner: &str,
    ) -> Result<std::result::Result<(Plan, Vec<Name>, Ports), Answer>> {
        let of = |fleet| {
            let planned = Plan::of(fleet, wish, owner)?;
            Ok::<_, Error>(planned.and_then(|mut plan| {
                let (nodes, ports) = plan.next(&[])?;
                Ok((plan, nodes, ports))
            }))
        };
        if let Some(Ok(Ok(plan))) = self.view.fleet().map(of) {
            return Ok(Ok(plan));
        }
        of(Fleet::read(&self.engine).await?)
    }

    /// Acquires for a user, by name. What is to be held from then on comes with the answer.
    ///
    /// # Errors
    ///
    /// If etcd cannot be asked.
    pub async fn acquire(&self, wish: &Wish, owner: &str) -> Result<(Answer, Option<Hold>)> {
        let (mut plan, mut nodes, mut ports) = match self.plan(wish, owner).await? {
            Ok(planned) => planned,
            Err(answer) => return Ok((answer, None)),
        };
        let mut in_the_way: Vec<InTheWay> = Vec::new();
        for tries in 1..=TRIES {
            if tries > 1 {
                (nodes, ports) = match plan.next(&in_the_way) {
                    Ok(chosen) => chosen,
                    Err(answer) => return Ok((answer, None)),
                };
            }
            let id = random_name("g", 10)?;
            let decided = self.decide(&id, wish, owner, &nodes, &ports).await;
            let (driven, hold) = match decided {
                // As after a long pause of this process. The next one is with another.
                Err(error) if is_lease_gone(error.message()) && tries < TRIES => continue,
                decided => decided?,
            };
            match driven.answer {
                Decided::Committed => {
                    self.view.has_seen(&id).await;
                    let granted = Granted {
                        id,
                        ports: ports.into(),
                        nodes,
                        tries,
                    };
                    return Ok((Answer::Granted(granted), hold));
                }
                Decided::Refused { by, silent } => {
                    // Where one has refused, the others may not have had the time.
                    let silent = if by.is_empty() { silent } else { Vec::new() };
                    in_the_way = all(&by, &silent);
                    for (node, have) in &by {
                        plan.numbers.refused(&ports, have);
                        plan.candidates.refused(node);
                    }
                    if !silent.is_empty() && !plan.candidates.leave_out(&silent) {
                        break;
                    }
                }
                Decided::Unknown => {
                    let message = "whether it was granted is not known, as etcd's answer was lost; if it was, it ends";
                    let message = message.to_owned();
                    return Ok((Answer::Undecided { message }, None));
                }
                // Another steward has ended it, as one that was paused finds out.
                _ => {}
            }
        }
        let answer = Answer::Refused {
            message: format!(
                "no block is free on all of the {} nodes",
                plan.candidates.wanted
            ),
            hint: Some("free the ports, or ask again: other numbers are tried".to_owned()),
            in_the_way,
        };
        Ok((answer, None))
    }

    /// One try. Meanwhile it is held on the engine; afterwards, if that is the wish.
    async fn decide(
        &self,
        id: &Name,
        wish: &Wish,
        owner: &str,
        nodes: &[Name],
        ports: &Ports,
    ) -> Result<(Driven, Option<Hold>)> {
        let mut record = Record::preparing(ports.clone(), Members::Listed(nodes.to_vec()));
        record.owner = owner.to_owned();
        record.consumers = vec![format!("owner {owner}")];
        if wish.held {
            record.unknown.insert(HELD.to_owned(), true.into());
        }
        let lease = self.holder.lease().await?;
        let rules = Rules::default();
        let coordinator = Coordinator::reserve(Kind::Grant, id.clone(), record, nodes, rules);
        let patience = Patience {
            wait: Duration::from_secs(wish.wait.into()),
            cleanup: CLEANUP,
        };
        let holding = Holding {
            lease: lease.clone(),
            by: owner.to_owned(),
            stays: wish.held,
        };
        let feed = self.view.feed().await?;
        let driven = drive_with(&self.engine, feed, Some(holding), coordinator, patience).await;
        let driven = match driven {
            Ok(driven) => driven,
            Err(error) => {
                self.holder.give_up(id.clone(), lease, None);
                return Err(error);
            }
        };
        let written = driven.held.map(|at| (lease.clone(), at));
        match (&driven.answer, wish.held) {
            (Decided::Committed, false) => Ok((driven, None)),
            (Decided::Committed, true) => {
                let hold = Hold::new(self.holder.clone(), id.clone(), owner.to_owned(), written);
                Ok((driven, Some(hold)))
            }
            _ => {
                self.holder.give_up(id.clone(), lease, driven.held);
                Ok((driven, None))
            }
        }
    }
}

fn none_left(in_the_way: Vec<InTheWay>, wanted: usize) -> Answer {
    Answer::Refused {
        message: format!("fewer than {wanted} nodes can"),
        hint: None,
        in_the_way,
    }
}
