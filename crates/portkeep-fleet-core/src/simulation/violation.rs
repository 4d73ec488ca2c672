use std::fmt;

use crate::data::Name;

/// What must never be.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Violation {
    /// I1: two reservations with a common port and node are committed.
    TwoOwners(Name, Name),
    /// I2: committed, and the kernel of this node does not have it.
    NotEnforced(Name, Name),
    /// I2: this node released what is committed.
    Opened(Name, Name),
    /// A phase went back, or a reservation came back after its end.
    WentBack(Name),
    /// I3: a node was asked to hold what had ended already.
    AskedAfterEnd(Name, Name),
    /// I4: a kernel has a reservation that its store does not know of.
    Unknown(Name, Name),
    /// I5: a node keeps what every member was said to have released.
    Leaked(Name, Name),
    /// A node said `held` before its kernel did, or `released` after it did not.
    UntrueVote(Name, Name),
    /// A policy's record was made without the names of its members.
    Nameless(Name),
    /// A machine voted that does not act for the node.
    ForeignVote(Name, Name),
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Violation::TwoOwners(a, b) => write!(f, "{a} and {b} are both committed"),
            Violation::NotEnforced(id, node) => write!(f, "{id} is committed and not on {node}"),
            Violation::Opened(id, node) => write!(f, "{node} released {id}, which is committed"),
            Violation::WentBack(id) => write!(f, "{id} came back"),
            Violation::AskedAfterEnd(id, node) => {
                write!(f, "{node} was asked for {id} after its end")
            }
            Violation::Unknown(id, node) => write!(f, "the store of {node} does not know of {id}"),
            Violation::Leaked(id, node) => write!(f, "{node} keeps {id} for ever"),
            Violation::UntrueVote(id, node) => write!(f, "the vote of {node} for {id} is not true"),
            Violation::Nameless(id) => write!(f, "{id} has a record and no names of members"),
            Violation::ForeignVote(id, node) => {
                write!(f, "another machine voted as {node} for {id}")
            }
        }
    }
}
