//! Who is in the way where.

use std::collections::BTreeMap;

use portkeep_fleet_core::data::{Have, Name, Obstacle, Reply};
use serde::{Deserialize, Serialize};

/// Why a node is not asked.
pub const NOT_CONNECTED: &str = "its agent is not connected";
/// Why a node that was asked does not count.
pub const SILENT: &str = "it did not answer in time";
/// Why a node cannot change a policy once more.
pub const UNFINISHED: &str = "it has not completed the last change yet";

/// A node that cannot, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InTheWay {
    /// The node.
    pub node: String,
    /// What is in the way there.
    pub obstacles: Vec<Line>,
    /// How many more obstacles there are.
    pub more: u32,
}

/// One obstacle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// The ports, as `10042/udp`; nothing, if it is not about a port.
    pub port: Option<String>,
    /// What is there, in words.
    pub what: String,
}

impl InTheWay {
    /// A node that has voted.
    pub fn voted(node: &Name, have: &Have) -> InTheWay {
        InTheWay::new(node, &have.obstacles, have.more)
    }

    /// A node that was asked.
    pub fn replied(node: &Name, reply: &Reply) -> Option<InTheWay> {
        if let Some(error) = &reply.error {
            return Some(InTheWay::because(node, error));
        }
        let free = reply.obstacles.is_empty() && reply.more == 0;
        (!free).then(|| InTheWay::new(node, &reply.obstacles, reply.more))
    }

    /// A node for which there is a reason without a port.
    pub fn because(node: &Name, what: &str) -> InTheWay {
        InTheWay {
            node: node.to_string(),
            obstacles: vec![Line {
                port: None,
                what: what.to_owned(),
            }],
            more: 0,
        }
    }

    /// Adds what was seen at another time.
    pub fn add(&mut self, other: InTheWay) {
        for line in other.obstacles {
            if !self.obstacles.contains(&line) {
                self.obstacles.push(line);
            }
        }
        self.more = self.more.max(other.more);
    }

    fn new(node: &Name, obstacles: &[Obstacle], more: u32) -> InTheWay {
        let lines = obstacles.iter().map(|obstacle| Line {
            port: Some(obstacle.port.clone()).filter(|port| !port.is_empty()),
            what: obstacle.what.clone(),
        });
        let mut obstacles: Vec<Line> = lines.collect();
        if obstacles.is_empty() {
            obstacles.push(Line {
                port: None,
                what: "it does not say why".to_owned(),
            });
        }
        InTheWay {
            node: node.to_string(),
            obstacles,
            more,
        }
    }
}

/// The table NODE, PORT, IN THE WAY.
pub fn rows(found: &[InTheWay]) -> Vec<Vec<String>> {
    let mut rows = vec![["NODE", "PORT", "IN THE WAY"].map(str::to_owned).to_vec()];
    for node in found {
        for line in &node.obstacles {
            let port = line.port.as_deref().unwrap_or("-");
            rows.push(vec![node.node.clone(), port.to_owned(), line.what.clone()]);
        }
        if node.more > 0 {
            let more = format!("{} more", node.more);
            rows.push(vec![node.node.clone(), "-".to_owned(), more]);
        }
    }
    rows
}

/// As in `2 of 40`.
pub fn of(some: usize, all: usize) -> String {
    format!("{some} of {all}")
}

/// As in `1 node` and `40 nodes`.
pub fn nodes(count: usize) -> String {
    match count {
        1 => "1 node".to_owned(),
        count => format!("{count} nodes"),
    }
}

/// The nodes in the way, by their names, those that did not answer with them.
pub fn all(by: &[(Name, Have)], silent: &[Name]) -> Vec<InTheWay> {
    let mut found: BTreeMap<&Name, InTheWay> = by
        .iter()
        .map(|(node, have)| (node, InTheWay::voted(node, have)))
        .collect();
    for node in silent {
        found
            .entry(node)
            .or_insert_with(|| InTheWay::because(node, SILENT));
    }
    found.into_values().collect()
}
