use super::obstacle::Obstacle;
use super::{FleetRequest, begin};
use crate::error::Error;
use crate::store::keeper::Keeper;

impl Keeper {
    /// Writes into the store that these are about to be offered to the fleet: policies with a sync of the
    /// disk, grants without. One write for all of them. What overlaps reservations of others is not written;
    /// its answer says what is in the way. An earlier version of the same reservation is replaced.
    ///
    /// # Errors
    ///
    /// If nothing could be written, or [`InvalidInput`](crate::ErrorKind::InvalidInput).
    pub fn note_for_fleet(
        &self,
        requests: &[FleetRequest],
    ) -> Result<Vec<Result<(), Vec<Obstacle>>>, Error> {
        let mut session = begin(self)?;
        let live = session.kernel.live()?;
        let cookie = session.namespace.cookie;
        let mut answers = Vec::new();
        for request in requests {
            let wanted = request.wanted()?;
            let obstacles = wanted.missing_or_reserved(&session.document, &live, cookie);
            if !obstacles.is_empty() {
                answers.push(Err(obstacles));
                continue;
            }
            let records = session.document.records_mut(wanted.kind);
            records.retain(|old| !wanted.records.iter().any(|new| new.is_at(old)));
            records.extend(wanted.records);
            answers.push(Ok(()));
        }
        session.save()?;
        Ok(answers)
    }
}
