use super::entry::Note;
use crate::data::{Key, Name, Obstacle};
use crate::engine::{Outcome, Read, Transaction};
use crate::points::Point;

/// Why a kernel cannot reserve.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Refusal {
    /// What is in the way.
    pub obstacles: Vec<Obstacle>,
}

/// What the driver tells the agent.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Input {
    /// There is a connection to the engine, and a lease.
    Connected,
    /// What came of [`Effect::Announce`]
    Announced(Outcome),
    /// All of the inbox, the policies and this node's reports, as they were at one instant. What is not
    /// among them was absent.
    Listed(Vec<Read>),
    /// A key was read, or the watch reported it.
    Read(Read),
    /// The watch reported these changes, of one instant or of several.
    Changed(Vec<Read>),
    /// What came of [`Effect::Note`]: whether it is on the disk.
    Noted(Name, bool),
    /// What came of [`Effect::Create`]
    Created(Name, Result<(), Refusal>),
    /// [`Effect::Delete`] is done: the kernel has none of its ports.
    Deleted(Name),
    /// [`Effect::Erase`] is done.
    Erased(Name),
    /// What came of [`Effect::Vote`]
    Voted(Name, Outcome),
    /// The kernel does not have the reservation any more: root took it out by force.
    Gone(Name),
    /// Try again to hold a policy that was in conflict, or that was taken out by force
    /// (`portkeep fleet repair`).
    Retry(Name),
    /// The operator says on this node that a reservation that the engine does not know is to be released.
    Forget(Name),
    /// The engine has not been heard of for long. Nothing follows from that.
    Silence,
}

/// What the agent wants done. The driver reports each one's end, with the input of that name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Apply this with the node's lease on the key.
    Announce(Transaction),
    /// Write into the store that the node is about to offer this. It must be there after a crash; a grant's
    /// must not be there after a reboot.
    Note(Name, Note),
    /// Make the kernel reserve, or exclude, all of the ports, or none. Succeeds if it has them already for this
    /// name, or for the name that this one replaces.
    Create(Name, Note),
    /// Apply this.
    Vote(Name, Transaction),
    /// Make the kernel release whatever it has for this name, except what a note that replaces this one has, too:
    /// that passes to the other name and its consumers without an instant at which it is open.
    Delete(Name),
    /// Take the note out of the store.
    Erase(Name),
    /// Read this key, linearizably, and report it with [`Input::Read`].
    Look(Key),
}

impl Effect {
    /// The instant at which a driver for tests kills itself.
    pub fn point(&self) -> Option<Point> {
        match self {
            Effect::Announce(_) => Some(Point::Announce),
            Effect::Note(..) => Some(Point::Note),
            Effect::Create(..) => Some(Point::Create),
            Effect::Vote(..) => Some(Point::Vote),
            Effect::Delete(_) => Some(Point::Delete),
            Effect::Erase(_) => Some(Point::Erase),
            Effect::Look(_) => None,
        }
    }
}
