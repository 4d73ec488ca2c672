//! Finds violations in a history: what clients were answered, and what probes saw. It knows nothing of how
//! the ports are kept, so the same checker judges the simulator and real machines.
//!
//! An answer "unknown" counts either way: such a request is not in the history, or as it turned out.

use std::collections::BTreeMap;

use portkeep::{PortRange, Protocol};

use crate::data::{Name, Ports};

/// One observation, with the times before and after it. Times are of one clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Before the request was sent.
    pub start: u64,
    /// After the answer arrived.
    pub end: u64,
    /// What happened.
    pub what: What,
}

/// What was observed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// A reservation was granted.
    Granted {
        /// The reservation.
        id: Name,
        /// Its ports.
        ports: Ports,
        /// Its nodes.
        nodes: Vec<Name>,
    },
    /// A reservation was refused: from the end of all work on it, it is on no node.
    Refused {
        /// The reservation.
        id: Name,
        /// The ports that were asked for.
        ports: Ports,
        /// The nodes.
        nodes: Vec<Name>,
    },
    /// Its owner asked to release it.
    ReleaseAsked(Name),
    /// The owner was told that it is released everywhere.
    Released(Name),
    /// The owner was told that a node has lost it: it was rebooted, or its root took it out by force.
    Lost(Name, Name),
    /// A process tried to bind.
    Bind {
        /// On this node.
        node: Name,
        /// The protocol.
        protocol: Protocol,
        /// The port, also if the kernel chose it.
        port: u16,
        /// The reservation whose consumer it is. A stranger has none.
        by: Option<Name>,
        /// Whether it got the port.
        bound: bool,
    },
}

/// What must not be in a history.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Violation {
    /// Two reservations had a port of a node at one time.
    TwoOwners(Name, Name, Name),
    /// Somebody else bound a port of a reservation, on this node.
    Opened(Name, Name, u16),
    /// A consumer could not bind a port of its reservation, on this node.
    Denied(Name, Name, u16),
    /// A stranger cannot bind a port in the end, on this node, though nobody has it.
    NotFreed(Name, u16),
    /// Something was granted twice, or released and never granted.
    Confused(Name),
}

#[derive(Clone, Debug)]
struct Tenure {
    id: Name,
    range: PortRange,
    from: u64,
    to: u64,
}

#[derive(Debug, Default)]
struct Node<'a> {
    tenures: Vec<Tenure>,
    binds: Vec<(&'a Event, Protocol, u16, Option<&'a Name>, bool)>,
}

/// Judges a history, in any order.
pub fn check(history: &[Event]) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut asked: BTreeMap<&Name, u64> = BTreeMap::new();
    let mut lost: BTreeMap<(&Name, &Name), u64> = BTreeMap::new();
    let mut known: BTreeMap<&Name, u32> = BTreeMap::new();
    for event in history {
        match &event.what {
            What::ReleaseAsked(id) => {
                let first = asked.entry(id).or_insert(event.start);
                *first = event.start.min(*first);
            }
            What::Lost(id, node) => {
                let first = lost.entry((id, node)).or_insert(event.start);
                *first = event.start.min(*first);
            }
            What::Granted { id, .. } => *known.entry(id).or_default() += 1,
            What::Refused { id, .. } => *known.entry(id).or_default() += 1,
            What::Released(_) | What::Bind { .. } => {}
        }
    }
    let twice = known.iter().filter(|(_, times)| **times > 1);
    found.extend(twice.map(|(id, _)| Violation::Confused((*id).clone())));
    let mut nodes: BTreeMap<&Name, Node<'_>> = BTreeMap::new();
    for event in history {
        match &event.what {
            What::Granted {
                id,
                ports,
                nodes: members,
            } => {
                for node in members {
                    let end = asked.get(id).copied().unwrap_or(u64::MAX);
                    let to = lost.get(&(id, node)).copied().unwrap_or(u64::MAX).min(end);
                    let tenures = ports.ranges().iter().map(|range| Tenure {
                        id: id.clone(),
                        range: *range,
                        from: event.end,
                        to,
                    });
                    let tenures = tenures.filter(|tenure| tenure.from < tenure.to);
                    nodes.entry(node).or_default().tenures.extend(tenures);
                }
            }
            What::Released(id) if !known.contains_key(id) || !asked.contains_key(id) => {
                found.push(Violation::Confused(id.clone()));
            }
            What::Bind {
                node,
                protocol,
                port,
                by,
                bound,
            } => {
                let bind = (event, *protocol, *port, by.as_ref(), *bound);
                nodes.entry(node).or_default().binds.push(bind);
            }
            _ => {}
        }
    }
    let free = freed(history);
    for (name, node) in &mut nodes {
        node.judge(name, &mut found);
        node.judge_end(name, &free, &mut found);
    }
    found.sort_unstable();
    found.dedup();
    found
}

/// When the last owner of each range had given it back. A range that is not released yet is not among them.
fn freed(history: &[Event]) -> BTreeMap<(&Name, PortRange), u64> {
    let released: BTreeMap<&Name, u64> = history
        .iter()
        .filter_map(|event| match &event.what {
            What::Released(id) => Some((id, event.end)),
            _ => None,
        })
        .collect();
    let mut free = BTreeMap::new();
    for event in history {
        let (What::Granted { id, ports, nodes } | What::Refused { id, ports, nodes }) = &event.what
        else {
            continue;
        };
        let at = released.get(id).copied().unwrap_or(u64::MAX);
        for node in nodes {
            for range in ports.ranges() {
                let last = free.entry((node, *range)).or_insert(at);
                *last = at.max(*last);
            }
        }
    }
    free
}

impl Node<'_> {
    fn judge(&mut self, name: &Name, found: &mut Vec<Violation>) {
        self.tenures.sort_unstable_by_key(|tenure| tenure.from);
        self.binds.sort_unstable_by_key(|(event, ..)| event.start);
        let mut current: Vec<&Tenure> = Vec::new();
        let mut tenures = self.tenures.iter().peekable();
        for (event, protocol, port, by, bound) in &self.binds {
            while let Some(tenure) = tenures.next_if(|tenure| tenure.from <= event.start) {
                enter(tenure, &mut current, name, found);
            }
            current.retain(|tenure| tenure.to > event.start);
            // Only what lies within a tenure is judged: at its edges, both answers are right.
            let inside = current.iter().filter(|tenure| tenure.to >= event.end);
            let mut inside = inside.filter(|tenure| {
                tenure.range.protocol() == *protocol && tenure.range.contains(*port)
            });
            if let Some(tenure) = inside.next() {
                let own = *by == Some(&tenure.id);
                if *bound && !own {
                    found.push(Violation::Opened(tenure.id.clone(), name.clone(), *port));
                }
                if !*bound && own {
                    found.push(Violation::Denied(tenure.id.clone(), name.clone(), *port));
                }
            }
        }
        for tenure in tenures {
            enter(tenure, &mut current, name, found);
        }
    }

    /// The last bind of each port, by a stranger and after the last owner's end, must have succeeded.
    fn judge_end(
        &self,
        name: &Name,
        free: &BTreeMap<(&Name, PortRange), u64>,
        found: &mut Vec<Violation>,
    ) {
        let mut last: BTreeMap<(Protocol, u16), (u64, bool)> = BTreeMap::new();
        for (event, protocol, port, by, bound) in &self.binds {
            if by.is_none() {
                last.insert((*protocol, *port), (event.start, *bound));
            }
        }
        let from = PortRange::new(Protocol::Tcp, 1, 1);
        let Ok(least) = from else {
            return;
        };
        let ranges: Vec<(PortRange, u64)> = free
            .range((name, least)..)
            .take_while(|((node, _), _)| *node == name)
            .map(|((_, range), at)| (*range, *at))
            .collect();
        for ((protocol, port), (at, bound)) in last {
            let mut concerned = ranges
                .iter()
                .filter(|(range, _)| range.protocol() == protocol && range.contains(port));
            let any = concerned.clone().next().is_some();
            if any && !bound && concerned.all(|(_, freed)| *freed < at) {
                found.push(Violation::NotFreed(name.clone(), port));
            }
        }
    }
}

fn enter<'a>(
    tenure: &'a Tenure,
    current: &mut Vec<&'a Tenure>,
    name: &Name,
    found: &mut Vec<Violation>,
) {
    current.retain(|other| other.to > tenure.from);
    for other in &*current {
        let common = Ports::from(other.range).overlaps(&Ports::from(tenure.range));
        if common && other.id != tenure.id {
            let (a, b) = (other.id.clone(), tenure.id.clone());
            found.push(Violation::TwoOwners(a, b, name.clone()));
        }
    }
    current.push(tenure);
}
