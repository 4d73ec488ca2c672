use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{FORMAT, Name, Ports, Unknown};

/// How far a reservation is. Phases only go forward; the last one is that the key is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// The members are being asked.
    Preparing,
    /// Decided: every member's kernel enforces it.
    Committed,
    /// Every member is to release it, whether it was committed or not.
    Ending,
}

/// Which nodes a policy is for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Selector(pub BTreeMap<String, String>);

impl Selector {
    /// Whether a node has all the labels. No label matches every node.
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        let mut wanted = self.0.iter();
        wanted.all(|(name, value)| labels.get(name) == Some(value))
    }
}

/// The nodes that all or nothing is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Members {
    /// A grant's, here.
    Listed(Vec<Name>),
    /// A policy's, in this many keys [`Key::Members`](super::Key::Members), written before the record.
    Pieces(u32),
}

/// A reservation: the record on which it is decided. [`Kind`](super::Kind) says under which key.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Record {
    /// The format of the value.
    pub format: u32,
    /// How far it is.
    pub phase: Phase,
    /// Which ports.
    pub ports: Ports,
    /// On which nodes.
    pub members: Members,
    /// For a policy, which nodes that come later hold it, too.
    #[serde(default)]
    pub selector: Selector,
    /// Who may bind, as `reserve` takes it. Nobody, if it is empty.
    #[serde(default)]
    pub consumers: Vec<String>,
    /// Who asked for it.
    #[serde(default)]
    pub owner: String,
    /// Which version of an operator's wish it is.
    #[serde(default)]
    pub generation: u64,
    /// What this version does not know.
    #[serde(flatten)]
    pub unknown: Unknown,
}

impl Record {
    /// A record of a reservation that is being prepared.
    pub fn preparing(ports: Ports, members: Members) -> Record {
        Record {
            format: FORMAT,
            phase: Phase::Preparing,
            ports,
            members,
            selector: Selector::default(),
            consumers: Vec::new(),
            owner: String::new(),
            generation: 1,
            unknown: Unknown::new(),
        }
    }

    /// The same with another phase.
    pub fn with_phase(&self, phase: Phase) -> Record {
        Record {
            phase,
            ..self.clone()
        }
    }
}
