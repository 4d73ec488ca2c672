//! What operators were answered and probes saw, for the checker.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use portkeep_fleet::testing::probe::Seen;
use portkeep_fleet_core::checker::{Event, Violation, What, check};
use portkeep_fleet_core::data::{Name, Ports};

use crate::STRANGER;

#[derive(Default)]
pub struct History {
    pub events: Vec<Event>,
    /// Whom each reservation is for.
    pub users: BTreeMap<Name, u32>,
    pub operations: u64,
    pub unknown: u64,
    /// The steward chose ports for these, and none were free.
    pub refused_jobs: usize,
    /// What commands said that neither reserved nor were refused, and how often.
    pub said: BTreeMap<String, u32>,
}

impl History {
    /// Says that from now on nothing is to be left of any reservation.
    pub fn ask_all(&mut self, at: u64) {
        for id in self.open(|what| match what {
            What::ReleaseAsked(id) => Some(id.clone()),
            _ => None,
        }) {
            self.add(at, at, What::ReleaseAsked(id));
        }
    }

    /// Says that nothing is left of any reservation.
    pub fn release_all(&mut self, at: u64) {
        for id in self.open(|what| match what {
            What::Released(id) => Some(id.clone()),
            _ => None,
        }) {
            self.add(at, at, What::Released(id));
        }
    }

    fn open(&self, done: impl Fn(&What) -> Option<Name>) -> Vec<Name> {
        let done: BTreeSet<Name> = self.events.iter().filter_map(|it| done(&it.what)).collect();
        let known = self.events.iter().filter_map(|it| match &it.what {
            What::Granted { id, .. } | What::Refused { id, .. } => Some(id.clone()),
            _ => None,
        });
        known.filter(|id| !done.contains(id)).collect()
    }
}

/// When a reservation was held, by whom and where.
struct Tenure {
    id: Name,
    user: u32,
    ports: Ports,
    from: u64,
    to: u64,
}

pub fn judge(histories: Vec<History>, seen: Vec<Seen>) -> Vec<Violation> {
    let users: BTreeMap<Name, u32> = histories.iter().flat_map(|it| it.users.clone()).collect();
    let mut events: Vec<Event> = histories.into_iter().flat_map(|it| it.events).collect();
    let asked: BTreeMap<Name, u64> = events
        .iter()
        .filter_map(|event| match &event.what {
            What::ReleaseAsked(id) => Some((id.clone(), event.start)),
            _ => None,
        })
        .collect();
    let mut tenures: BTreeMap<Name, Vec<Tenure>> = BTreeMap::new();
    for event in &events {
        let What::Granted { id, ports, nodes } = &event.what else {
            continue;
        };
        for node in nodes {
            tenures.entry(node.clone()).or_default().push(Tenure {
                id: id.clone(),
                user: users[id],
                ports: ports.clone(),
                from: event.end,
                to: asked.get(id).copied().unwrap_or(u64::MAX),
            });
        }
    }
    let binds = seen.into_iter().map(|seen| {
        let of_node = tenures.get(&seen.node).into_iter().flatten();
        let own = of_node
            .filter(|it| it.user == seen.user && it.from <= seen.start && seen.end <= it.to)
            .find(|it| {
                let mut ranges = it.ports.ranges().iter();
                ranges.any(|it| it.protocol() == seen.protocol && it.contains(seen.port))
            });
        Event {
            start: seen.start,
            end: seen.end,
            what: What::Bind {
                node: seen.node,
                protocol: seen.protocol,
                port: seen.port,
                by: own.map(|it| it.id.clone()),
                bound: seen.bound,
            },
        }
    });
    events.extend(binds.collect::<Vec<_>>());
    check(&events)
}

/// How much there was to judge.
#[derive(Debug, Default)]
pub struct Counts {
    operations: u64,
    granted: usize,
    refused: usize,
    released: usize,
    unknown: u64,
    binds: usize,
    strangers_refused: usize,
    owners_bound: usize,
    said: BTreeMap<String, u32>,
}

pub fn counts(histories: &[History], seen: &[Seen]) -> Counts {
    let events = || histories.iter().flat_map(|it| &it.events);
    let mut counts = Counts {
        binds: seen.len(),
        strangers_refused: seen
            .iter()
            .filter(|it| it.user == STRANGER && !it.bound)
            .count(),
        owners_bound: seen
            .iter()
            .filter(|it| it.user != STRANGER && it.bound)
            .count(),
        ..Counts::default()
    };
    for history in histories {
        counts.operations += history.operations;
        counts.unknown += history.unknown;
        counts.refused += history.refused_jobs;
        for (line, times) in &history.said {
            *counts.said.entry(line.clone()).or_default() += times;
        }
    }
    for event in events() {
        match event.what {
            What::Granted { .. } => counts.granted += 1,
            What::Refused { .. } => counts.refused += 1,
            What::Released(_) => counts.released += 1,
            _ => {}
        }
    }
    counts
}

impl Counts {
    /// A run in which nothing happened proves nothing.
    pub fn check(&self) {
        let enough = [self.granted, self.strangers_refused, self.owners_bound];
        assert!(enough.iter().all(|it| *it > 0), "too little happened");
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} operations: {} granted, {} refused, {} whose outcome the operator does not know",
            self.operations, self.granted, self.refused, self.unknown
        )?;
        for (line, times) in &self.said {
            writeln!(f, "  {times} × {line}")?;
        }
        write!(
            f,
            "{} binds: {} by strangers that were refused, {} by owners that succeeded",
            self.binds, self.strangers_refused, self.owners_bound
        )
    }
}
