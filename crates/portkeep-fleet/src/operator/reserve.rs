//! One reservation on all nodes of a selector, or on none.

use std::collections::BTreeSet;
use std::time::Duration;

use portkeep_fleet_core::coordinator::{Answer, Coordinator};
use portkeep_fleet_core::data::{Kind, Name, Record};
use portkeep_fleet_core::rules::Rules;
use serde::Serialize;

use super::ask::{ask, random_name};
use super::drive::{CLEANUP, Patience, drive, hold};
use super::fleet::Fleet;
use super::leftovers::finish;
use super::policy::{Chosen, Wish};
use super::report::{InTheWay, NOT_CONNECTED, SILENT, all};
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
    /// Nodes that take it over when they are back.
    pub pending: Vec<String>,
    /// Nodes that cannot.
    pub in_the_way: Vec<InTheWay>,
    /// Nodes have still to hear that it was refused.
    pub left: bool,
    /// Ctrl-C ended it.
    pub interrupted: bool,
}

impl Reserved {
    fn new(record: &Record, name: &Name, chosen: &Chosen) -> Reserved {
        Reserved {
            schema: 1,
            policy: name.clone(),
            id: None,
            generation: record.generation,
            ports: record.ports.clone().into(),
            state: State::Refused,
            nodes: chosen.up.len(),
            pending: chosen.down.iter().map(Name::to_string).collect(),
            in_the_way: Vec::new(),
            left: false,
            interrupted: false,
        }
    }
}

/// Reserves, after finishing what others began and left.
///
/// # Errors
///
/// If it cannot be begun, or if what became of it is not known.
pub async fn reserve(engine: &Engine, wish: &Wish, terms: Terms) -> Result<Reserved> {
    let mut fleet = Fleet::read(engine).await?;
    if !terms.dry_run && fleet.leftovers().next().is_some() {
        finish(engine, &fleet, CLEANUP).await?;
        fleet = Fleet::read(engine).await?;
    }
    let record = wish.record();
    let chosen = Chosen::of(&fleet, &record);
    let mut reserved = Reserved::new(&record, &wish.name, &chosen);
    let named = fleet.policies_named(&wish.name);
    if let Some((id, known)) = named.first() {
        if !wish.is(known) {
            return Err(taken(&wish.name, known));
        }
        reserved.id = Some((*id).clone());
        reserved.generation = known.generation;
        reserved.state = State::Already;
        return Ok(reserved);
    }
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
    if terms.dry_run {
        look(engine, wish, terms, &chosen, &mut reserved).await?;
        return Ok(reserved);
    }
    if !reserved.in_the_way.is_empty() {
        return Ok(reserved);
    }
    decide(engine, wish, terms, &chosen, &record, &mut reserved).await?;
    Ok(reserved)
}

fn taken(name: &Name, known: &Record) -> Error {
    let words = format!("the policy {name} is there already, with {}", known.ports);
    Error::refused(words).with_hint(format!(
        "choose another name; or `portkeep fleet unreserve {name}` ends it"
    ))
}

/// Asks all nodes what would be in the way.
async fn look(
    engine: &Engine,
    wish: &Wish,
    terms: Terms,
    chosen: &Chosen,
    reserved: &mut Reserved,
) -> Result<()> {
    let replies = ask(engine, &chosen.up, &wish.question(), terms.wait).await?;
    for node in &chosen.up {
        match replies.get(node) {
            Some(reply) => reserved.in_the_way.extend(InTheWay::replied(node, reply)),
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
async fn ask_others(
    engine: &Engine,
    wish: &Wish,
    terms: Terms,
    chosen: &Chosen,
    reserved: &mut Reserved,
) -> Result<()> {
    let known = |node: &Name| {
        let mut refused = reserved.in_the_way.iter();
        refused.any(|it| it.node == node.as_str())
    };
    let others: BTreeSet<Name> = chosen.up.iter().filter(|it| !known(it)).cloned().collect();
    let replies = ask(engine, &others, &wish.question(), terms.wait.min(CLEANUP)).await?;
    let found = replies.iter();
    let found = found.filter_map(|(node, reply)| InTheWay::replied(node, reply));
    reserved.in_the_way.extend(found);
    reserved.in_the_way.sort_by(|a, b| a.node.cmp(&b.node));
    Ok(())
}

async fn decide(
    engine: &Engine,
    wish: &Wish,
    terms: Terms,
    chosen: &Chosen,
    record: &Record,
    reserved: &mut Reserved,
) -> Result<()> {
    let members: Vec<Name> = chosen.up.iter().cloned().collect();
    let id = random_name(&format!("{}.", wish.name), 8)?;
    let lease = hold(engine, &id).await?;
    let rules = Rules::default();
    let coordinator =
        Coordinator::reserve(Kind::Policy, id.clone(), record.clone(), &members, rules);
    let patience = Patience {
        wait: terms.wait,
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
        }
        Answer::Refused { by, silent } if driven.timed_out => {
            reserved.in_the_way = all(&by, &silent);
        }
        Answer::Refused { by, .. } => {
            reserved.in_the_way = all(&by, &[]);
            if !driven.interrupted {
                ask_others(engine, wish, terms, chosen, reserved).await?;
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
