use std::fmt;
use std::str::FromStr;

use super::Name;

/// Whether a reservation is an operator's, for all nodes of a selector, or a job's, on a list of nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// An operator's reservation. Its record is the inbox of every node that the selector matches.
    Policy,
    /// A job's reservation. Each member has an inbox entry of its own, so no node sees what others have.
    Grant,
}

impl Kind {
    /// The key of the record.
    pub fn record(self, id: &Name) -> Key {
        match self {
            Kind::Policy => Key::Policy(id.clone()),
            Kind::Grant => Key::Grant(id.clone()),
        }
    }
}

/// A key, below the fleet's prefix. The node comes first, so one role of the engine covers its keys.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// `config`: what holds for the whole fleet.
    Config,
    /// `n/NODE/spec`: a node as the operator has added it.
    Spec(Name),
    /// `n/NODE/alive`: which boot of which machine acts for the node. Its lease says that it is connected.
    Alive(Name),
    /// `n/NODE/want/ID`: the inbox of a node.
    Want(Name, Name),
    /// `n/NODE/have/ID`: the node's vote and report.
    Have(Name, Name),
    /// `n/NODE/question/ID`: what an operator asks of the node, with the lease of the operator's command.
    Question(Name, Name),
    /// `n/NODE/reply/ID`: the node's answer.
    Reply(Name, Name),
    /// `policy/ID`: an operator's reservation.
    Policy(Name),
    /// `grant/ID`: a job's reservation.
    Grant(Name),
    /// `members/ID/K`: a piece of the members' names of a policy.
    Members(Name, u32),
    /// `hold/ID`: somebody is at work on the reservation, or holds the grant. Its lease says that they still are.
    /// Its absence ends what is being prepared, and nothing else by itself.
    Hold(Name),
    /// `removed/NODE`: the operator has removed the node for ever.
    Removed(Name),
}

impl Key {
    /// The reservation that the key belongs to.
    pub fn id(&self) -> Option<&Name> {
        match self {
            Key::Config | Key::Spec(_) | Key::Alive(_) | Key::Removed(_) => None,
            Key::Question(..) | Key::Reply(..) => None,
            Key::Want(_, id) | Key::Have(_, id) | Key::Members(id, _) => Some(id),
            Key::Policy(id) | Key::Grant(id) | Key::Hold(id) => Some(id),
        }
    }

    /// The node that the key belongs to.
    pub fn node(&self) -> Option<&Name> {
        match self {
            Key::Spec(node) | Key::Alive(node) | Key::Removed(node) => Some(node),
            Key::Want(node, _) | Key::Have(node, _) => Some(node),
            Key::Question(node, _) | Key::Reply(node, _) => Some(node),
            Key::Config | Key::Policy(_) | Key::Grant(_) | Key::Members(..) | Key::Hold(_) => None,
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Key::Config => f.write_str("config"),
            Key::Spec(node) => write!(f, "n/{node}/spec"),
            Key::Alive(node) => write!(f, "n/{node}/alive"),
            Key::Want(node, id) => write!(f, "n/{node}/want/{id}"),
            Key::Have(node, id) => write!(f, "n/{node}/have/{id}"),
            Key::Question(node, id) => write!(f, "n/{node}/question/{id}"),
            Key::Reply(node, id) => write!(f, "n/{node}/reply/{id}"),
            Key::Policy(id) => write!(f, "policy/{id}"),
            Key::Grant(id) => write!(f, "grant/{id}"),
            Key::Members(id, piece) => write!(f, "members/{id}/{piece}"),
            Key::Hold(id) => write!(f, "hold/{id}"),
            Key::Removed(node) => write!(f, "removed/{node}"),
        }
    }
}

/// A key that this version does not know. It is somebody else's, or a later version's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParseKeyError;

impl fmt::Display for ParseKeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a key of a fleet")
    }
}

impl std::error::Error for ParseKeyError {}

impl FromStr for Key {
    type Err = ParseKeyError;

    fn from_str(text: &str) -> Result<Key, ParseKeyError> {
        let name = |text: &str| text.parse::<Name>().map_err(|_| ParseKeyError);
        let parts: Vec<&str> = text.split('/').collect();
        match *parts.as_slice() {
            ["config"] => Ok(Key::Config),
            ["n", node, "spec"] => Ok(Key::Spec(name(node)?)),
            ["n", node, "alive"] => Ok(Key::Alive(name(node)?)),
            ["n", node, "want", id] => Ok(Key::Want(name(node)?, name(id)?)),
            ["n", node, "have", id] => Ok(Key::Have(name(node)?, name(id)?)),
            ["n", node, "question", id] => Ok(Key::Question(name(node)?, name(id)?)),
            ["n", node, "reply", id] => Ok(Key::Reply(name(node)?, name(id)?)),
            ["policy", id] => Ok(Key::Policy(name(id)?)),
            ["grant", id] => Ok(Key::Grant(name(id)?)),
            ["hold", id] => Ok(Key::Hold(name(id)?)),
            ["removed", node] => Ok(Key::Removed(name(node)?)),
            ["members", id, piece] => {
                let number: u32 = piece.parse().map_err(|_| ParseKeyError)?;
                // One key has one spelling: no leading zeros, no plus sign.
                if number.to_string() != piece {
                    return Err(ParseKeyError);
                }
                Ok(Key::Members(name(id)?, number))
            }
            _ => Err(ParseKeyError),
        }
    }
}
