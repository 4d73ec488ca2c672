use std::collections::{BTreeMap, BTreeSet};

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

/// What a reservation does to strangers.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Only its consumers may bind.
    #[default]
    Reserve,
    /// Everybody may bind explicitly, and nobody gets one of the ports automatically. It is in nobody's way, and
    /// nothing is in its way.
    Exclude,
}

impl Mode {
    /// Whether it is what a value says if it says nothing.
    pub fn is_default(&self) -> bool {
        *self == Mode::default()
    }
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
    /// For a policy, the nodes that do not hold it, whatever their labels are.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub except: BTreeSet<Name>,
    /// For a policy, the only nodes that hold it until it is [changed](Record::replaces): those of the waves
    /// so far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub only: Option<BTreeSet<Name>>,
    /// What operators call a policy. It keeps its name over its changes, each of which has an ID of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Name>,
    /// For a policy, the record that it takes the place of: that one ends in the transaction that commits this
    /// one. What both have stays closed at every instant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<Name>,
    /// For a policy that ends because another record has taken its place: that one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub successor: Option<Name>,
    /// What it does to strangers.
    #[serde(default, skip_serializing_if = "Mode::is_default")]
    pub mode: Mode,
    /// A note for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub comment: String,
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
            except: BTreeSet::new(),
            only: None,
            name: None,
            replaces: None,
            successor: None,
            mode: Mode::Reserve,
            comment: String::new(),
            consumers: Vec::new(),
            owner: String::new(),
            generation: 1,
            unknown: Unknown::new(),
        }
    }

    /// Whether a node with these labels is to hold the policy.
    pub fn concerns(&self, node: &Name, labels: &BTreeMap<String, String>) -> bool {
        let only = self.only.as_ref();
        self.selector.matches(labels)
            && !self.except.contains(node)
            && only.is_none_or(|only| only.contains(node))
    }

    /// The same with another phase.
    pub fn with_phase(&self, phase: Phase) -> Record {
        Record {
            phase,
            ..self.clone()
        }
    }
}
