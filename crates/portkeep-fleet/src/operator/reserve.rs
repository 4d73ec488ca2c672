//! One reservation on all nodes of a selector, or on none.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use portkeep_fleet_core::coordinator::{Answer, Coordinator, Goal};
use portkeep_fleet_core::data::{Kind, Name, Record, Report};
use portkeep_fleet_core::rules::Rules;
use serde::Serialize;

use super::ask::{ask, random_name};
use super::drive::{CLEANUP, Patience, drive, hold, resume_held};
use super::fleet::Fleet;
use super::leftovers::finish;
use super::policy::{Chosen, Wish};
use super::report::{InTheWay, NOT_CONNECTED, SILENT, UNFINISHED, all};
use crate::engine::Engine;
use crate::error::{Error, Result};

/// How it is to be done.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// Nodes that are not connected are left for later.
    pub skip_down: bool,
    /// How long nodes have to answer.
    pub wait: Duration,
    /// Nothing is changed.
    pub dry_run: bool,
}

impl Terms {
    /// Of a command with these arguments.
    pub fn new(skip_down: bool, wait: u32, dry_run: bool) -> Terms {
        Terms {
            skip_down,
            wait: Duration::from_secs(wait.into()),
            dry_run,
        }
    }
}

/// How far it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It is on all of the nodes.
    Reserved,
    /// It was there before, just so.
    Already,
    /// It is on none.
    Refused,
    /// It is on the nodes of the waves so far, and the next wave was refused.
    Stopped,
    /// The next wave was refused, and what was on the nodes of the waves before was taken back.
    Undone,
    /// All of the nodes could hold it now.
    Possible,
    /// Some could not.
    Impossible,
}

/// What became of it.
#[derive(Clone, Debug, Serialize)]
pub struct Reserved {
    /// The version of the document.
    pub schema: u32,
    /// What people call it.
    pub policy: Name,
    /// Its ID, if it is there.
    pub id: Option<Name>,
    /// Which version of the operator's wish it is.
    pub generation: u64,
    /// Which ports.
    pub ports: Vec<String>,
    /// How far it came.
    pub state: State,
    /// How many nodes were asked, or hold it.
    pub nodes: usize,
    /// How many nodes hold it in the end, as far as they are known now.
    pub selected: usize,
    /// How many nodes hold it.
    pub held: usize,
    /// Which wave this is.
    pub wave: usize,
    /// Of how many.
    pub waves: usize,
    /// Nodes that take it over when they are back.
    pub pending: Vec<String>,
    /// Nodes that cannot.
    pub in_the_way: Vec<InTheWay>,
    /// Nodes have still to hear that it was refused, or of the end of what it has changed.
    pub left: bool,
    /// Ctrl-C ended it.
    pub interrupted: bool,
}

impl Reserved {
    /// Not yet.
    pub fn new(record: &Record, name: &Name, chosen: &Chosen) -> Reserved {
        Reserved {
            schema: 1,
            policy: name.clone(),
            id: None,
            generation: record.generation,
            ports: record.ports.clone().into(),
            state: State::Refused,
            nodes: chosen.up.len(),
            selected: chosen.up.len() + chosen.down.len(),
            held: 0,
            wave: 1,
            waves: 1,
            pending: chosen.down.iter().map(Name::to_string).collect(),
            in_the_way: Vec::new(),
            left: false,
            interrupted: false,
        }
    }
}

/// The fleet, after finishing what others began and left.
///
/// # Errors
///
/// If etcd does not answer.
pub async fn cleared(engine: &Engine, terms: Terms) -> Result<Fleet> {
    let fleet = Fleet::read(engine).await?;
    if terms.dry_run || fleet.leftovers().next().is_none() {
        return Ok(fleet);
    }
    finish(engine, &fleet, CLEANUP, |_| true).await?;
    Ok(Fleet::read(engine).await?)
}

/// Makes one record, by one decision. `old` is the policy that it takes the place of.
///
/// # Errors
///
/// If it cannot be begun, or if what became of it is not known.
pub async fn reserve(
    engine: &Engine,
    fleet: &Fleet,
    wish: &Wish,
    terms: Terms,
    old: Option<(&Name, &Record)>,
) -> Result<Reserved> {
    let mut record = wish.record();
    let mut behind = Vec::new();
    if let Some((id, before)) = old {
        let earlier = before.replaces.as_ref();
        if let Some(earlier) = earlier.filter(|it| fleet.policies.contains_key(*it)) {
            behind = unfinished(earlier, fleet);
            if behind.is_empty() {
                let words = format!("the last change of {} is being completed", wish.name);
                return Err(Error::refused(words).with_hint("run the same command again"));
            }
        }
        record.replaces = Some(id.clone());
        record.generation = before.generation + 1;
    }
    let chosen = Chosen::of(fleet, &record);
    let mut reserved = Reserved::new(&record, &wish.name, &chosen);
    if chosen == Chosen::default() {
        return Err(Error::refused("no node of the fleet has these labels")
            .with_hint("`portkeep fleet node ls` shows the nodes' labels"));
    }
    if !terms.skip_down {
        let down = chosen.down.iter();
        reserved
            .in_the_way
            .extend(down.map(|node| InTheWay::because(node, NOT_CONNECTED)));
        reserved.pending.clear();
        reserved.nodes += chosen.down.len();
    }
    let request = Request {
        engine,
        wish,
        terms,
        chosen: &chosen,
        old: old.map(|(id, _)| id),
    };
    let known = |node: &InTheWay| reserved.in_the_way.iter().any(|it| it.node == node.node);
    behind.retain(|node| !known(node));
    if terms.skip_down {
        let down = |it: &&InTheWay| chosen.down.iter().any(|node| node.as_str() == it.node);
        reserved.nodes += behind.iter().filter(down).count();
    }
    reserved.in_the_way.extend(behind);
    if terms.dry_run {
        request.look(&mut reserved).await?;
        return Ok(reserved);
    }
    if !reserved.in_the_way.is_empty() {
        return Ok(reserved);
    }
    request.decide(&record, &mut reserved).await?;
    if let (State::Reserved, Some((id, _))) = (reserved.state, old) {
        reserved.left |= complete(engine, fleet, id, terms.wait).await?;
    }
    Ok(reserved)
}

/// The nodes that still have what the last change has taken the place of. One that sleeps through two changes would
/// release the first ports before it has the last ones.
fn unfinished(earlier: &Name, fleet: &Fleet) -> Vec<InTheWay> {
    let kept = fleet.nodes.iter().filter(|(_, node)| {
        let have = node.haves.get(earlier);
        have.is_some_and(|have| have.report != Report::Released)
    });
    kept.map(|(node, _)| InTheWay::because(node, UNFINISHED))
        .collect()
}

/// Waits until all nodes have released what a change has left of the policy before it. Says whether some have
/// still to hear of it.
async fn complete(engine: &Engine, fleet: &Fleet, old: &Name, wait: Duration) -> Result<bool> {
    let mut nodes = fleet.nodes.values();
    let is_down = nodes.any(|node| node.alive.is_none() && node.haves.contains_key(old));
    let wait = if is_down { wait.min(CLEANUP) } else { wait };
    let driven = resume_held(engine, Kind::Policy, old, Goal::Finish, wait).await?;
    Ok(driven.is_left)
}

/// What is asked of nodes for one record.
struct Request<'a> {
    engine: &'a Engine,
    wish: &'a Wish,
    terms: Terms,
    chosen: &'a Chosen,
    old: Option<&'a Name>,
}

impl Request<'_> {
    /// Asks these nodes what would be in the way, and says what each that answers has.
    async fn ask(
        &self,
        nodes: &BTreeSet<Name>,
        wait: Duration,
    ) -> Result<BTreeMap<Name, Option<InTheWay>>> {
        let question = self.wish.question(self.old);
        let replies = ask(self.engine, nodes, &question, wait).await?;
        let found = replies.into_iter().map(|(node, reply)| {
            let found = InTheWay::replied(&node, &reply);
            (node, found)
        });
        Ok(found.collect())
    }

    /// Asks all nodes what would be in the way.
    async fn look(&self, reserved: &mut Reserved) -> Result<()> {
        let up = &self.chosen.up;
        let mut answers = self.ask(up, self.terms.wait).await?;
        for node in up {
            match answers.remove(node) {
                Some(found) => reserved.in_the_way.extend(found),
                None => reserved.in_the_way.push(InTheWay::because(node, SILENT)),
            }
        }
        reserved.in_the_way.sort_by(|a, b| a.node.cmp(&b.node));
        reserved.state = match reserved.in_the_way.is_empty() {
            true => State::Possible,
            false => State::Impossible,
        };
        Ok(())
    }

    /// The first refusal decides. Those that had not voted then may have something in the way, too.
    async fn ask_others(&self, reserved: &mut Reserved) -> Result<()> {
        let known = |node: &Name| {
            let mut refused = reserved.in_the_way.iter();
            refused.any(|it| it.node == node.as_str())
        };
        let up = self.chosen.up.iter();
        let others: BTreeSet<Name> = up.filter(|it| !known(it)).cloned().collect();
        let answers = self.ask(&others, self.terms.wait.min(CLEANUP));
        reserved
            .in_the_way
            .extend(answers.await?.into_values().flatten());
        reserved.in_the_way.sort_by(|a, b| a.node.cmp(&b.node));
        Ok(())
    }

    async fn decide(&self, record: &Record, reserved: &mut Reserved) -> Result<()> {
        let (engine, wish) = (self.engine, self.wish);
        let members: Vec<Name> = self.chosen.up.iter().cloned().collect();
        let id = random_name(&format!("{}.", wish.name), 8)?;
        let lease = hold(engine, &id).await?;
        let rules = Rules::default();
        let coordinator =
            Coordinator::reserve(Kind::Policy, id.clone(), record.clone(), &members, rules);
        let patience = Patience {
            wait: self.terms.wait,
            cleanup: CLEANUP,
        };
        let driven = drive(engine, coordinator, patience).await?;
        lease.revoke().await;
        reserved.left = driven.is_left;
        reserved.interrupted = driven.interrupted;
        match driven.answer {
            Answer::Committed => {
                reserved.id = Some(id);
                reserved.state = State::Reserved;
                reserved.held = members.len();
            }
            Answer::Refused { by, silent } if driven.timed_out => {
                reserved.in_the_way = all(&by, &silent);
            }
            Answer::Refused { by, .. } => {
                reserved.in_the_way = all(&by, &[]);
                if !driven.interrupted {
                    self.ask_others(reserved).await?;
                }
            }
            Answer::Outdated => {
                return Err(Error::refused(format!(
                    "{} was changed or ended by another meanwhile",
                    wish.name
                )));
            }
            Answer::Unknown | Answer::Taken => {
                return Err(Error::undecided(
                    "whether it was begun is not known, as etcd's answer was lost",
                )
                .with_hint("run the same command again: it finishes or ends what was begun"));
            }
            Answer::Ended | Answer::Gone => {
                return Err(Error::refused(format!(
                    "another command ended {} meanwhile",
                    wish.name
                )));
            }
        }
        Ok(())
    }
}
