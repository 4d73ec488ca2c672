//! What a fleet reserves on this machine, for its agent. A policy is in `reservations.toml`, and a boot
//! restores it; a grant is in `/run`, and a boot ends it.
//!
//! What is about to be offered to the fleet is in the store first: the agent notes, then creates. It gives
//! back in the kernel first and erases then. So whatever dies in between, the kernel has nothing of the
//! fleet that the store does not have.

mod admit;
mod create;
mod grants;
mod list;
mod note;
mod obstacle;
mod pass_on;
mod release;
mod request;
mod tag;

pub use self::grants::Grants;
pub use self::list::FleetEntry;
pub use self::obstacle::{InTheWay, Obstacle};
pub use self::request::FleetRequest;
pub use self::tag::FleetTag;

use crate::error::{Error, ErrorKind};
use crate::store::document::{Document, Record};
use crate::store::keeper::{Keeper, Kind};
use crate::store::scope::Scope;
use crate::store::session::Session;

/// The fleet's reservations are of the home network namespace.
fn begin(keeper: &Keeper) -> Result<Session<'_>, Error> {
    let session = Session::begin(keeper, Some(Scope::Home))?;
    let identity = session.namespace.identity();
    if session.document.notes.home.as_ref() == Some(&identity) {
        return Ok(session);
    }
    Err(Error::new(
        ErrorKind::InvalidInput,
        "a fleet's reservations are of the network namespace in which `portkeep enable` ran",
    )
    .with_hint("run the agent there"))
}

impl Document {
    /// The lines of one reservation of a fleet.
    fn lines(&self, tag: &FleetTag) -> Vec<(Kind, Record)> {
        let is_its = |record: &Record| record.fleet.as_ref().is_some_and(|of| of.is_same(tag));
        let lines = self.with_kinds().filter(|(_, record)| is_its(record));
        lines.map(|(kind, record)| (kind, record.clone())).collect()
    }
}
