use serde::{Deserialize, Serialize};

use super::{FORMAT, Ports, Record, Unknown};

/// What a node is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WantState {
    /// Hold the ports, and vote.
    Want,
    /// Release them. Nothing else is evidence that they may be released.
    End,
}

/// An entry in a node's inbox.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Want {
    /// The format of the value.
    pub format: u32,
    /// What to do.
    pub state: WantState,
    /// With which ports.
    pub ports: Ports,
    /// Who may bind.
    #[serde(default)]
    pub consumers: Vec<String>,
    /// Which version of the wish it is.
    #[serde(default)]
    pub generation: u64,
    /// What this version does not know.
    #[serde(flatten)]
    pub unknown: Unknown,
}

impl Want {
    /// What the record asks of a member.
    pub fn of(record: &Record, state: WantState) -> Want {
        Want {
            format: FORMAT,
            state,
            ports: record.ports.clone(),
            consumers: record.consumers.clone(),
            generation: record.generation,
            unknown: Unknown::new(),
        }
    }
}
