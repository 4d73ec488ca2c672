use crate::data::{Have, Key, Name};
use crate::engine::{Outcome, Read, Transaction};
use crate::points::Point;

/// What the driver tells the coordinator.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Input {
    /// Begin.
    Start,
    /// What [`Effect::Look`] asked for was read, linearizably.
    Looked(Vec<Read>),
    /// The watch reported changes.
    Changed(Vec<Read>),
    /// What [`Effect::Scan`] asked for: these nodes have a report about the reservation.
    Scanned(Vec<Name>),
    /// What came of [`Effect::Apply`]
    Applied(Outcome),
    /// The user waits no longer. Turns *preparing* into *ending*, and nothing else.
    Deadline,
    /// The user gives the reservation back.
    Release,
}

/// What the coordinator wants done. The driver reports each one's end.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Read these keys, in several requests if there are many, and watch them from then on.
    Look(Vec<Key>),
    /// Find the nodes that have a report about the reservation, by a read of now.
    Scan,
    /// Apply this.
    Apply(Point, Transaction),
    /// Tell the user. The coordinator may still have to clean up after itself.
    Answer(Answer),
}

/// What became of the request.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Answer {
    /// Every member's kernel enforces it.
    Committed,
    /// It is on no node, or will be on none, because these cannot or did not answer.
    Refused {
        /// The nodes that cannot.
        by: Vec<(Name, Have)>,
        /// The nodes that have not answered yet.
        silent: Vec<Name>,
    },
    /// It ends, and every member releases it as soon as it hears of it.
    Ended,
    /// The engine has no such reservation, or has none any more.
    Gone,
    /// The engine has another reservation with this ID, or the names of its members were swept. Nothing was begun.
    Taken,
    /// What it was to take the place of has been changed or ended by another, or is a change that is not complete
    /// yet. Nothing changes.
    Outdated,
    /// Whether it was begun is not known. What was begun, another coordinator will end.
    Unknown,
}
