//! How a policy stands on a node, as far as the engine knows.

use portkeep_fleet_core::data::{Name, Report};
use serde::Serialize;

use super::fleet::Node;

/// How it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Standing {
    /// Its kernel enforces it.
    Enforced,
    /// It has not come to it yet.
    Pending,
    /// It cannot hold it.
    Conflict,
    /// It held it and does not any more.
    Lost,
    /// Its agent is not connected.
    Unknown,
}

impl Standing {
    /// How a policy stands on a node.
    pub fn of(id: &Name, node: &Node) -> Standing {
        let have = node.haves.get(id);
        match (&node.alive, have) {
            (_, Some(have)) if have.report == Report::Lost => Standing::Lost,
            (_, Some(have)) if matches!(have.report, Report::Refused | Report::Conflict) => {
                Standing::Conflict
            }
            (None, Some(_)) => Standing::Unknown,
            (None, None) => Standing::Pending,
            (Some(boot), Some(have)) if have.report == Report::Held && have.boot == *boot => {
                Standing::Enforced
            }
            (Some(_), _) => Standing::Pending,
        }
    }

    /// The word in tables and documents.
    pub fn word(self) -> &'static str {
        match self {
            Standing::Enforced => "enforced",
            Standing::Pending => "pending",
            Standing::Conflict => "conflict",
            Standing::Lost => "lost",
            Standing::Unknown => "unknown",
        }
    }

    /// Whether somebody has to do something about it.
    pub fn differs(self) -> bool {
        matches!(self, Standing::Conflict | Standing::Lost)
    }
}

/// What there is to say about it, in words.
pub fn words(id: &Name, node: &Node) -> String {
    let have = node.haves.get(id);
    match Standing::of(id, node) {
        Standing::Enforced => "its kernel refuses everybody else".to_owned(),
        Standing::Pending if node.alive.is_none() => {
            "its agent is not connected; it will hold the policy when it is back".to_owned()
        }
        Standing::Pending => "its agent is at it".to_owned(),
        Standing::Lost => "it is not reserved there any more: it was taken out by hand".to_owned(),
        Standing::Unknown => {
            "its agent is not connected; its kernel enforced the policy, and goes on".to_owned()
        }
        Standing::Conflict => {
            let Some(have) = have else {
                return String::new();
            };
            let obstacles = have.obstacles.iter();
            let mut words: Vec<String> = obstacles
                .map(|obstacle| match obstacle.port.as_str() {
                    "" => obstacle.what.clone(),
                    port => format!("{port}: {}", obstacle.what),
                })
                .collect();
            if have.more > 0 {
                words.push(format!("and {} more", have.more));
            }
            words.join("; ")
        }
    }
}
