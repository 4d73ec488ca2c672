//! A policy on all nodes of a selector: at once, or wave after wave.

use std::collections::BTreeSet;

use portkeep_fleet_core::coordinator::{Answer, Goal};
use portkeep_fleet_core::data::{Kind, Name, Phase, Record};
use tokio::time::sleep;

use super::drive::{interrupted, resume_held};
use super::fleet::Fleet;
use super::policy::{Chosen, Wish};
use super::report::InTheWay;
use super::reserve::{Reserved, State, Terms, cleared, reserve};
use super::standing::{Standing, words};
use super::waves::Waves;
use crate::engine::Engine;
use crate::error::{Error, Result};

/// Reserves, after finishing what others began and left. Each wave is a decision of its own and takes the place of
/// the one before, so what holds after a command that died is known, and the same command goes on from there.
///
/// # Errors
///
/// If a wave cannot be begun, or if what became of it is not known.
pub async fn roll_out(
    engine: &Engine,
    wish: &Wish,
    terms: Terms,
    waves: &Waves,
    each: impl Fn(&Reserved, &Wish) -> Result<()>,
) -> Result<Reserved> {
    // From here on it is this command that hears Ctrl-C, also between two decisions.
    let mut interrupt = interrupted();
    let mut last: Option<Reserved> = None;
    loop {
        let fleet = cleared(engine, terms).await?;
        let before = before(&fleet, wish, last.as_ref())?;
        let chosen = Chosen::of(&fleet, &wish.record());
        let selected = chosen.up.len() + chosen.down.len();
        let holders = match &before {
            Some((_, known)) => known.only.clone(),
            None => Some(BTreeSet::new()),
        };
        let ready = match terms.skip_down {
            true => chosen.up.clone(),
            false => chosen.up.union(&chosen.down).cloned().collect(),
        };
        let step = holders.as_ref();
        let step = step.and_then(|holders| waves.next(selected, &ready, holders));
        let finish = |mut reserved: Reserved| {
            let number = step.as_ref().map_or(waves.count(), |step| step.number);
            (reserved.wave, reserved.waves) = (number, waves.count());
            reserved.selected = selected;
            reserved
        };
        let (Some(step), Some(holders)) = (step.clone(), holders) else {
            return Ok(match (last, before) {
                (Some(last), _) => last,
                (None, Some((id, known))) => finish(already(&fleet, wish, id, &known)),
                // Without nodes there is always a step, which is refused.
                (None, None) => Reserved::new(&wish.record(), &wish.name, &chosen),
            });
        };
        let is_last = step.number == waves.count() || step.only.is_none();
        let old = before.as_ref().map(|(id, known)| (id, known));
        let differing = old.map_or_else(Vec::new, |(id, known)| differing(&fleet, id, known));
        let mut reserved = if differing.is_empty() {
            let only = match terms.dry_run {
                true => None,
                false => step.only,
            };
            let wish = Wish {
                only,
                ..wish.clone()
            };
            finish(reserve(engine, &fleet, &wish, terms, old).await?)
        } else {
            let mut reserved = finish(Reserved::new(&wish.record(), &wish.name, &chosen));
            reserved.in_the_way = differing;
            reserved
        };
        match (reserved.state, &before) {
            (State::Reserved, _) if is_last => return Ok(reserved),
            (State::Reserved, _) => {}
            (State::Refused, Some((id, known))) => {
                reserved.held = holders.len();
                return stopped(engine, reserved, waves, terms, id, known).await;
            }
            _ => return Ok(reserved),
        }
        each(&reserved, wish)?;
        tokio::select! {
            () = sleep(waves.pause) => {}
            () = &mut interrupt => {
                reserved.state = State::Stopped;
                reserved.interrupted = true;
                return Ok(reserved);
            }
        }
        last = Some(reserved);
    }
}

/// What stands of it: what was there before, or what the wave before has made.
fn before(fleet: &Fleet, wish: &Wish, last: Option<&Reserved>) -> Result<Option<(Name, Record)>> {
    let mut named = fleet.policies_named(&wish.name);
    named.sort_by_key(|(_, record)| record.phase != Phase::Committed);
    let Some((id, known)) = named.first() else {
        return match last {
            Some(_) => Err(Error::refused(format!(
                "another command ended {} meanwhile",
                wish.name
            ))),
            None => Ok(None),
        };
    };
    if known.phase != Phase::Committed {
        return Err(Error::refused(format!(
            "another command is making the policy {} now",
            wish.name
        ))
        .with_hint("run this one again when that one has ended"));
    }
    let changed = last.is_some_and(|last| last.id.as_ref() != Some(*id));
    if changed || !wish.is(known) {
        return Err(match last {
            Some(_) => Error::refused(format!("another command changed {} meanwhile", wish.name)),
            None => taken(&wish.name, known),
        });
    }
    Ok(Some(((*id).clone(), (*known).clone())))
}

fn taken(name: &Name, known: &Record) -> Error {
    let words = format!("the policy {name} is there already, with {}", known.ports);
    Error::refused(words).with_hint(format!(
        "`portkeep fleet change {name} PORTS` changes it, `portkeep fleet unreserve {name}` ends it"
    ))
}

/// It is there, just so.
pub fn already(fleet: &Fleet, wish: &Wish, id: Name, known: &Record) -> Reserved {
    let chosen = Chosen::of(fleet, known);
    let mut reserved = Reserved::new(known, &wish.name, &chosen);
    reserved.state = State::Already;
    reserved.held = fleet
        .concerned(known)
        .filter(|(_, node)| Standing::of(&id, node) == Standing::Enforced)
        .count();
    reserved.id = Some(id);
    reserved
}

/// Nodes that do not hold any more what the waves before have reserved there: a reason to stop.
fn differing(fleet: &Fleet, id: &Name, known: &Record) -> Vec<InTheWay> {
    let nodes = fleet.concerned(known);
    let nodes = nodes.filter(|(_, node)| Standing::of(id, node).differs());
    nodes
        .map(|(name, node)| InTheWay::because(name, &words(id, node)))
        .collect()
}

/// A wave was refused: what the waves before have reserved stays, or goes.
async fn stopped(
    engine: &Engine,
    mut reserved: Reserved,
    waves: &Waves,
    terms: Terms,
    id: &Name,
    known: &Record,
) -> Result<Reserved> {
    reserved.state = State::Stopped;
    reserved.id = Some(id.clone());
    reserved.generation = known.generation;
    if waves.undo && !reserved.interrupted {
        let driven = resume_held(engine, Kind::Policy, id, Goal::Release, terms.wait).await?;
        if driven.answer == Answer::Unknown {
            return Err(Error::undecided("etcd's answer was lost")
                .with_hint("`portkeep fleet unreserve` takes back what is there"));
        }
        reserved.left |= driven.is_left;
        reserved.state = State::Undone;
        reserved.id = None;
        reserved.held = 0;
    }
    Ok(reserved)
}
