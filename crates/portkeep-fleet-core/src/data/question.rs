use serde::{Deserialize, Serialize};

use super::{Boot, FORMAT, Mode, Name, Obstacle, Ports, Unknown};

/// What an operator asks of a node.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "lowercase")]
pub enum Ask {
    /// What would be in the way of this? Nothing is changed.
    Try {
        /// Which ports.
        ports: Ports,
        /// Who may bind.
        #[serde(default)]
        consumers: Vec<String>,
        /// What it does to strangers.
        #[serde(default)]
        mode: Mode,
        /// The policy whose place it would take, which is not in its way.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        replaces: Option<Name>,
    },
    /// What does `portkeep why` say about this port?
    Why {
        /// The port, as `10042/udp`.
        port: String,
    },
    /// Hold this policy again, which the node could not hold, or has lost.
    Repair {
        /// Its ID.
        id: Name,
    },
    /// Release what the engine does not know.
    Forget {
        /// Its ID.
        id: Name,
    },
}

/// A question to a node. It goes with the lease of whoever asks.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Question {
    /// The format of the value.
    pub format: u32,
    /// What is asked.
    #[serde(flatten)]
    pub ask: Ask,
}

impl Question {
    /// A question.
    pub fn new(ask: Ask) -> Question {
        Question {
            format: FORMAT,
            ask,
        }
    }
}

/// A node's answer. The agent deletes it when the question is gone.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Reply {
    /// The format of the value.
    pub format: u32,
    /// Which boot answers.
    pub boot: Boot,
    /// Why it cannot be answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What would be in the way.
    #[serde(default)]
    pub obstacles: Vec<Obstacle>,
    /// How many more there are.
    #[serde(default)]
    pub more: u32,
    /// What else it says, in JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub document: Option<serde_json::Value>,
    /// What this version does not know.
    #[serde(flatten)]
    pub unknown: Unknown,
}

impl Reply {
    /// An answer with the first obstacles of a list.
    pub fn new(boot: Boot, obstacles: &[Obstacle]) -> Reply {
        let shown = obstacles.len().min(super::MAX_OBSTACLES);
        Reply {
            format: FORMAT,
            boot,
            error: None,
            obstacles: obstacles[..shown].to_vec(),
            more: u32::try_from(obstacles.len() - shown).unwrap_or(u32::MAX),
            document: None,
            unknown: Unknown::new(),
        }
    }
}
