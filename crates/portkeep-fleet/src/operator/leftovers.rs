//! What commands and stewards that died began, others finish.

use std::time::Duration;

use portkeep_fleet_core::coordinator::{Answer, Goal};
use portkeep_fleet_core::data::{Kind, Name, Phase};
use portkeep_fleet_core::points::Point;
use portkeep_fleet_core::sweeper::sweep;

use super::drive::resume_held;
use super::fleet::{Fleet, name_of};
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
/// somebody is at work on is left to them.
///
/// # Errors
///
/// If etcd does not answer.
pub async fn finish(engine: &Engine, fleet: &Fleet, cleanup: Duration) -> Result<Vec<Finished>> {
    let mut finished = Vec::new();
    let open = fleet.leftovers().filter(|(kind, ..)| *kind == Kind::Policy);
    for (kind, id, record) in open {
        let driven = resume_held(engine, kind, id, Goal::Finish, cleanup).await?;
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
