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
    /// What this version does not know.
    #[serde(flatten)]
    pub unknown: Unknown,
}

impl Config {
    /// A fleet with this band.
    pub fn new(band: Ports) -> Config {
        Config {
            format: FORMAT,
            band,
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
