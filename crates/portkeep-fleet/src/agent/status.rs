//! What the agent says about this node.

use portkeep_fleet_core::agent::Standing;
use portkeep_fleet_core::data::Report;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

use super::driver::Driver;

/// How everything stands on this node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The version of this document.
    pub schema: u32,
    /// The fleet's name.
    pub fleet: String,
    /// The node's name.
    pub node: String,
    /// Whether etcd answers.
    pub connected: bool,
    /// Why it does not, or why what it says is not obeyed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
    /// Whether this machine acts for the node.
    pub acting: bool,
    /// The reservations of the fleet.
    pub reservations: Vec<Reservation>,
    /// Keys whose values this version does not understand.
    pub not_understood: Vec<String>,
}

/// One reservation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reservation {
    /// Its ID.
    pub id: String,
    /// Its ports here, if the store has it.
    pub ports: Option<String>,
    /// `pending`, `held`, `refused`, `conflict`, `lost`, `orphan`, `released`; or `kept` while nobody acts.
    pub standing: String,
    /// Whether the kernel refuses everybody else.
    pub enforced: bool,
}

impl Driver {
    pub(super) fn status(&self) -> Status {
        let (notes, enforced) = self.store.entries().unwrap_or_default();
        let agent = self.agent.as_ref();
        let standing = |id| {
            let mut all = agent.into_iter().flat_map(|agent| agent.standing());
            all.find(|(of, _)| *of == id).map(|(_, standing)| standing)
        };
        let of_agent = agent.into_iter().flat_map(|agent| agent.standing());
        let ids: BTreeSet<_> = notes.keys().chain(of_agent.map(|(id, _)| id)).collect();
        let reservations = ids.into_iter().map(|id| Reservation {
            id: id.to_string(),
            ports: notes.get(id).map(|note| note.ports.to_string()),
            standing: words(standing(id)).to_owned(),
            enforced: enforced.contains(id),
        });
        let other = agent.and_then(|agent| agent.other_machine());
        let other =
            other.map(|boot| format!("another machine, {}, acts for this node", boot.machine));
        let alone = match &self.spec {
            None if self.lost.is_none() => Some("the fleet has no such node".to_owned()),
            _ => None,
        };
        let trouble = self.lost.clone().or(self.changed.clone());
        Status {
            schema: 1,
            fleet: self.config.name.to_string(),
            node: self.node.to_string(),
            connected: self.lost.is_none() && self.engine.cluster().is_some(),
            acting: agent.is_some() && other.is_none() && self.lease.is_some(),
            trouble: trouble.or(other).or(alone),
            reservations: reservations.collect(),
            not_understood: self.unreadable.keys().map(ToString::to_string).collect(),
        }
    }
}

fn words(standing: Option<Standing>) -> &'static str {
    match standing {
        None => "kept",
        Some(Standing::Pending) => "pending",
        Some(Standing::Held) => "held",
        Some(Standing::Orphan) => "orphan",
        Some(Standing::Released) => "released",
        Some(Standing::Not(Report::Refused)) => "refused",
        Some(Standing::Not(Report::Conflict)) => "conflict",
        Some(Standing::Not(_)) => "lost",
    }
}
