//! What commands and stewards that died began, others finish.

use std::time::Duration;

use portkeep_fleet_core::coordinator::{Answer, Goal};
use portkeep_fleet_core::data::{Kind, Name, Phase, Record, Report};
use portkeep_fleet_core::points::Point;
use portkeep_fleet_core::sweeper::sweep;

use super::drive::resume_held;
use super::fleet::{Fleet, name_of};
use super::standing::Standing;
use crate::engine::Engine;
use crate::error::Result;
use crate::points::{When, pass};

/// One that was finished, or is not yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finished {
    /// What people call it.
    pub name: String,
    /// Its ID.
    pub id: Name,
    /// It was never decided.
    pub was_preparing: bool,
    /// Nodes have still to hear of its end.
    pub is_left: bool,
}

/// Ends what nobody prepares any more, completes what ends, and deletes names of members that nobody has. What
/// somebody is at work on is left to them, and so is what `which` leaves out.
///
/// # Errors
///
/// If etcd does not answer.
pub async fn finish(
    engine: &Engine,
    fleet: &Fleet,
    cleanup: Duration,
    which: impl Fn(&Name) -> bool,
) -> Result<Vec<Finished>> {
    let mut finished = Vec::new();
    let open = fleet.leftovers().filter(|(kind, ..)| *kind == Kind::Policy);
    for (kind, id, record) in open.filter(|(_, id, _)| which(id)) {
        let wait = match record.phase == Phase::Ending && !can_answer(fleet, id, record) {
            true => Duration::ZERO,
            false => cleanup,
        };
        let driven = resume_held(engine, kind, id, Goal::Finish, wait).await?;
        // Decided meanwhile by whoever was thought to be gone: there is nothing to finish.
        if driven.answer != Answer::Committed {
            finished.push(Finished {
                name: name_of(id, record).to_string(),
                id: id.clone(),
                was_preparing: record.phase == Phase::Preparing,
                is_left: driven.is_left,
            });
        }
    }
    for transaction in sweep(&fleet.reads) {
        pass(Point::Sweep, When::Before);
        engine.transact(&transaction).await?;
        pass(Point::Sweep, When::After);
    }
    Ok(finished)
}

/// Whether a node that is connected has still to say that it has released it.
fn can_answer(fleet: &Fleet, id: &Name, record: &Record) -> bool {
    let mut connected = fleet.nodes.iter().filter(|(_, node)| node.alive.is_some());
    connected.any(|(name, node)| match node.haves.get(id) {
        Some(have) => have.report != Report::Released,
        None => record.concerns(name, &node.labels),
    })
}

/// Whether nodes keep what ends until they hold what has taken its place, and one of those cannot.
pub fn waits_for_a_repair(fleet: &Fleet, id: &Name) -> bool {
    let successors = fleet.policies.iter().filter(|(_, record)| {
        record.phase == Phase::Committed && record.replaces.as_ref() == Some(id)
    });
    let mut nodes =
        successors.flat_map(|(id, record)| fleet.concerned(record).map(move |(_, it)| (id, it)));
    nodes.any(|(id, node)| Standing::of(id, node).differs())
}
