//! Ending grants.

use std::time::Duration;

use portkeep_fleet_core::coordinator::{Answer as Decided, Goal};
use portkeep_fleet_core::data::{Kind, Name, Phase, Value};

use super::local::Answer;
use super::steward::Steward;
use crate::error::Result;
use crate::operator::drive::resume_with;

impl Steward {
    /// Ends a grant of a user, or of anybody for root. One that is not there is released already.
    ///
    /// # Errors
    ///
    /// If etcd cannot be asked.
    pub async fn release(&self, id: &Name, user: &str, wait: Duration) -> Result<Answer> {
        let reads = self.engine.read(&[Kind::Grant.record(id)]).await?;
        let found = reads.into_iter().next().and_then(|read| read.found);
        let Some(Value::Record(record)) = found.map(|found| found.value) else {
            return Ok(Answer::Released { left: false });
        };
        if user != "root" && record.owner != user {
            return Ok(Answer::refused(format!("the grant {id} is not {user}'s")));
        }
        let left = self.finish(id, Goal::Release, wait).await?;
        Ok(Answer::Released { left })
    }

    /// Completes what was begun: what was not decided ends, what ends is released. Says whether nodes have still to
    /// hear of it.
    ///
    /// # Errors
    ///
    /// If etcd cannot be asked.
    pub async fn finish(&self, id: &Name, goal: Goal, wait: Duration) -> Result<bool> {
        let feed = self.view.feed().await?;
        let driven = resume_with(&self.engine, feed, Kind::Grant, id, goal, wait).await?;
        Ok(driven.is_left && driven.answer != Decided::Committed)
    }
}

/// What is left to be done about a grant that nobody holds or coordinates.
pub fn goal(phase: Phase) -> Goal {
    match phase {
        Phase::Committed => Goal::Release,
        Phase::Preparing | Phase::Ending => Goal::Finish,
    }
}
