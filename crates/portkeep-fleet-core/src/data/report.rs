use serde::{Deserialize, Serialize};

use super::{FORMAT, Name, Unknown};

/// A vote names this many obstacles at most, and counts the rest.
pub const MAX_OBSTACLES: usize = 16;

/// What a node says about one reservation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Report {
    /// The node is not a listed member and is about to hold it. Not a vote.
    Offering,
    /// The kernel refuses everybody else.
    Held,
    /// The node cannot hold it. Final for this reservation.
    Refused,
    /// The node came to a committed policy and cannot hold it.
    Conflict,
    /// The node held it and does not any more: it was rebooted, or its root took it out by force.
    Lost,
    /// Neither the kernel nor the store has it any more.
    Released,
}

/// One boot of one machine. Both are random, so a clone of a machine has another boot.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Boot {
    /// `/etc/machine-id`
    pub machine: Name,
    /// `/proc/sys/kernel/random/boot_id`
    pub boot: Name,
}

/// What is in the way.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Obstacle {
    /// The port, as `10042/udp`.
    pub port: String,
    /// The socket or the reservation, in words.
    pub what: String,
}

/// A node's vote and report.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Have {
    /// The format of the value.
    pub format: u32,
    /// What the node says.
    pub report: Report,
    /// Which boot says so. A vote of an earlier boot says nothing about the kernel of now.
    pub boot: Boot,
    /// Which version of the wish it answers.
    #[serde(default)]
    pub generation: u64,
    /// Why it cannot.
    #[serde(default)]
    pub obstacles: Vec<Obstacle>,
    /// How many more there are.
    #[serde(default)]
    pub more: u32,
    /// What this version does not know.
    #[serde(flatten)]
    pub unknown: Unknown,
}

impl Have {
    /// A report with the first obstacles of a list.
    pub fn new(report: Report, boot: Boot, generation: u64, obstacles: &[Obstacle]) -> Have {
        let shown = obstacles.len().min(MAX_OBSTACLES);
        Have {
            format: FORMAT,
            report,
            boot,
            generation,
            obstacles: obstacles[..shown].to_vec(),
            more: u32::try_from(obstacles.len() - shown).unwrap_or(u32::MAX),
            unknown: Unknown::new(),
        }
    }
}

/// Who acts for a node.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Alive {
    /// The format of the value.
    pub format: u32,
    /// Which boot of which machine.
    pub boot: Boot,
    /// What this version does not know.
    #[serde(flatten)]
    pub unknown: Unknown,
}

/// The operator's word that a node is gone for ever: what it holds is waited for no longer. If the machine comes
/// back, its ports stay closed until somebody says `forget` on it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Removed {
    /// The format of the value.
    pub format: u32,
    /// Who said so.
    #[serde(default)]
    pub by: String,
    /// What this version does not know.
    #[serde(flatten)]
    pub unknown: Unknown,
}

/// Somebody is at work on a reservation.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Hold {
    /// The format of the value.
    pub format: u32,
    /// Who it is, in words.
    #[serde(default)]
    pub by: String,
    /// What this version does not know.
    #[serde(flatten)]
    pub unknown: Unknown,
}
