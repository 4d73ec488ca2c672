use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{FORMAT, Name, Ports, Unknown};

/// What holds for the whole fleet.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Config {
    /// The format of the value.
    pub format: u32,
    /// From which ports the fleet chooses numbers.
    pub band: Ports,
    /// How much jobs may hold.
    #[serde(default, skip_serializing_if = "Quota::is_default")]
    pub quota: Quota,
    /// What this version does not know.
    #[serde(flatten)]
    pub unknown: Unknown,
}

/// How much a user's jobs may hold at once. Root's are not limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Quota {
    /// Grants.
    pub grants: u32,
    /// Ports, each counted on each of its nodes.
    pub ports: u32,
    /// Nodes of one grant.
    pub nodes: u32,
}

impl Default for Quota {
    fn default() -> Quota {
        Quota {
            grants: 64,
            ports: 65_536,
            nodes: 4096,
        }
    }
}

impl Quota {
    fn is_default(&self) -> bool {
        *self == Quota::default()
    }
}

impl Config {
    /// A fleet with this band.
    pub fn new(band: Ports) -> Config {
        Config {
            format: FORMAT,
            band,
            quota: Quota::default(),
            unknown: Unknown::new(),
        }
    }
}

/// A node as the operator has added it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Spec {
    /// The format of the value.
    pub format: u32,
    /// What selectors match.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Who added it.
    #[serde(default)]
    pub admitted_by: String,
    /// The machine that it has to be, or any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<Name>,
    /// What this version does not know.
    #[serde(flatten)]
    pub unknown: Unknown,
}

impl Spec {
    /// A node with these labels.
    pub fn new(labels: BTreeMap<String, String>) -> Spec {
        Spec {
            format: FORMAT,
            labels,
            admitted_by: String::new(),
            machine: None,
            unknown: Unknown::new(),
        }
    }
}
