//! Choosing nodes and numbers, and trying others where a node refuses.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use portkeep::{PortRange, Protocol};
use portkeep_fleet_core::allocator::Allocator;
use portkeep_fleet_core::coordinator::{Answer as Decided, Coordinator};
use portkeep_fleet_core::data::{
    Config, Have, Key, Kind, Members, Name, Phase, Ports, Quota, Record, Selector, Value,
};
use portkeep_fleet_core::rules::Rules;

use super::local::{Answer, Granted};
use super::wish::Wish;
use crate::engine::{Engine, random};
use crate::error::{Error, Result};
use crate::operator::ask::random_name;
use crate::operator::drive::{Patience, drive, hold};
use crate::operator::fleet::Fleet;
use crate::operator::report::{InTheWay, all};

/// How often numbers are chosen.
pub const TRIES: u32 = 8;

/// How long to wait until nothing is left of what was refused.
const CLEANUP: Duration = Duration::from_secs(10);

/// Marks a grant that ends with its holder.
pub const HELD: &str = "held";

const SILENT: &str = "it did not answer in time";

/// Acquires for a user, by name.
///
/// # Errors
///
/// If etcd cannot be asked.
pub async fn acquire(engine: &Engine, wish: &Wish, owner: &str) -> Result<Answer> {
    let fleet = Fleet::read(engine).await?;
    let config = config(&fleet)?;
    let mut candidates = match candidates(&fleet, wish) {
        Ok(candidates) => candidates,
        Err(answer) => return Ok(answer),
    };
    if owner != "root"
        && let Some(answer) = over(&config.quota, &fleet, wish, candidates.wanted, owner)
    {
        return Ok(answer);
    }
    let mut numbers = Numbers::new(&config, &fleet, wish)?;
    let mut in_the_way: Vec<InTheWay> = Vec::new();
    for tries in 1..=TRIES {
        let Some(nodes) = candidates.next() else {
            return Ok(none_left(in_the_way, candidates.wanted));
        };
        let ports = match numbers.choose(&fleet, &nodes) {
            Ok(ports) => ports,
            Err(message) => {
                return Ok(Answer::Refused {
                    message,
                    hint: None,
                    in_the_way,
                });
            }
        };
        let id = random_name("g", 10)?;
        let mut record = Record::preparing(ports.clone(), Members::Listed(nodes.clone()));
        record.owner = owner.to_owned();
        record.consumers = vec![format!("owner {owner}")];
        if wish.held {
            record.unknown.insert(HELD.to_owned(), true.into());
        }
        let lease = hold(engine, &id).await?;
        let rules = Rules::default();
        let coordinator = Coordinator::reserve(Kind::Grant, id.clone(), record, &nodes, rules);
        let patience = Patience {
            wait: Duration::from_secs(wish.wait.into()),
            cleanup: CLEANUP,
        };
        let driven = drive(engine, coordinator, patience).await;
        // The holder has made its own by now, or will within the time that a steward waits.
        lease.revoke().await;
        match driven?.answer {
            Decided::Committed => {
                return Ok(Answer::Granted(Granted {
                    id,
                    ports: ports.into(),
                    nodes,
                    tries,
                }));
            }
            Decided::Refused { by, silent } => {
                // Where one has refused, the others may not have had the time.
                let silent = if by.is_empty() { silent } else { Vec::new() };
                in_the_way = all(&by, &silent, SILENT);
                for (node, have) in &by {
                    numbers.refused(&ports, have);
                    candidates.refused(node);
                }
                if !silent.is_empty() && !candidates.leave_out(&silent) {
                    break;
                }
            }
            Decided::Unknown => {
                return Ok(Answer::Undecided {
                    message: "whether it was granted is not known, as etcd's answer was lost; if it was, it ends"
                        .to_owned(),
                });
            }
            // Another steward has ended it, as one that was paused finds out.
            _ => {}
        }
    }
    Ok(Answer::Refused {
        message: format!("no block is free on all of the {} nodes", candidates.wanted),
        hint: Some("free the ports, or ask again: other numbers are tried".to_owned()),
        in_the_way,
    })
}

fn none_left(in_the_way: Vec<InTheWay>, wanted: usize) -> Answer {
    Answer::Refused {
        message: format!("fewer than {wanted} nodes can"),
        hint: None,
        in_the_way,
    }
}

fn config(fleet: &Fleet) -> Result<Config> {
    let found = fleet.reads.iter().find(|read| read.key == Key::Config);
    match found
        .and_then(|read| read.found.as_ref())
        .map(|it| &it.value)
    {
        Some(Value::Config(config)) => Ok(config.clone()),
        _ => {
            Err(Error::refused("there is no such fleet")
                .with_hint("`portkeep fleet init` makes one"))
        }
    }
}

/// What is held already, and whether more is too much.
fn over(quota: &Quota, fleet: &Fleet, wish: &Wish, nodes: usize, owner: &str) -> Option<Answer> {
    let own = fleet.grants.values().filter(|record| record.owner == owner);
    let own = own.filter(|record| record.phase != Phase::Ending);
    let size = |record: &Record| {
        let ports = record.ports.ranges().iter();
        let ports: usize = ports.map(|range| usize::from(range.count())).sum();
        match &record.members {
            Members::Listed(nodes) => ports * nodes.len(),
            Members::Pieces(_) => ports,
        }
    };
    let (grants, ports) = own.fold((0, 0), |(grants, ports), it| (grants + 1, ports + size(it)));
    let more = (usize::from(wish.tcp) + usize::from(wish.udp)) * nodes;
    let limits = [
        (nodes, quota.nodes, "nodes in one grant"),
        (grants + 1, quota.grants, "grants at once"),
        (
            ports + more,
            quota.ports,
            "ports at once, each counted on each node",
        ),
    ];
    let exceeded = limits
        .into_iter()
        .find(|(count, limit, _)| *count > *limit as usize);
    exceeded.map(|(count, limit, what)| Answer::Refused {
        message: format!("{owner} would have {count} {what}, and {limit} are allowed"),
        hint: Some(
            "`portkeep fleet release` gives grants back; operators set the limits with `portkeep fleet quota`"
                .to_owned(),
        ),
        in_the_way: Vec::new(),
    })
}

/// The nodes to ask.
struct Candidates {
    /// All that may be asked, those that have not refused first.
    left: Vec<Name>,
    wanted: usize,
    any: bool,
}

fn candidates(fleet: &Fleet, wish: &Wish) -> Result<Candidates, Answer> {
    let selector = Selector(wish.labels.clone());
    let named: Vec<Name> = match wish.nodes.is_empty() {
        false => wish.nodes.clone(),
        true => {
            let nodes = fleet.nodes.iter();
            let matching = nodes.filter(|(_, node)| selector.matches(&node.labels));
            matching.map(|(name, _)| name.clone()).collect()
        }
    };
    let trouble = |node: &Name| match fleet.nodes.get(node) {
        None => Some("no such node in the fleet"),
        Some(node) if node.alive.is_none() => Some("its agent is not connected"),
        Some(_) => None,
    };
    let (down, mut left): (Vec<Name>, Vec<Name>) =
        named.into_iter().partition(|node| trouble(node).is_some());
    let wanted = match wish.any {
        Some(any) => any as usize,
        None => left.len() + down.len(),
    };
    if left.len() < wanted || wanted == 0 {
        let in_the_way = down
            .iter()
            .filter_map(|node| Some(InTheWay::because(node, trouble(node)?)))
            .collect();
        let message = match wanted {
            0 => "no node has these labels".to_owned(),
            _ => format!("{} of {wanted} nodes can be asked", left.len()),
        };
        return Err(Answer::Refused {
            message,
            hint: None,
            in_the_way,
        });
    }
    if wish.any.is_some() {
        // Different requests try different nodes first.
        for index in (1..left.len()).rev() {
            left.swap(index, random() as usize % (index + 1));
        }
    }
    Ok(Candidates {
        left,
        wanted,
        any: wish.any.is_some(),
    })
}

impl Candidates {
    fn next(&self) -> Option<Vec<Name>> {
        let nodes = self.left.get(..self.wanted)?;
        Some(nodes.to_vec())
    }

    /// Where any will do, others go first now.
    fn refused(&mut self, node: &Name) {
        if self.any
            && let Some(index) = self.left.iter().position(|it| it == node)
        {
            let node = self.left.remove(index);
            self.left.push(node);
        }
    }

    /// Whether enough are left.
    fn leave_out(&mut self, silent: &[Name]) -> bool {
        if self.any {
            self.left.retain(|node| !silent.contains(node));
        }
        self.any && self.left.len() >= self.wanted
    }
}

/// The numbers that may be free.
struct Numbers {
    counts: [(Protocol, u16); 2],
    free: BTreeMap<&'static str, Allocator>,
}

fn key(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
    }
}

impl Numbers {
    fn new(config: &Config, fleet: &Fleet, wish: &Wish) -> Result<Numbers> {
        let counts = [(Protocol::Tcp, wish.tcp), (Protocol::Udp, wish.udp)];
        let mut free = BTreeMap::new();
        for (protocol, _) in counts.iter().filter(|(_, count)| *count > 0) {
            let bands = config.band.ranges().iter();
            let band = bands
                .filter(|band| band.protocol() == *protocol)
                .max_by_key(|band| band.count());
            let band = band.ok_or_else(|| {
                Error::refused(format!("the fleet's band has no {protocol} ports"))
            })?;
            free.insert(key(*protocol), Allocator::new(*band));
        }
        // A policy may be for nodes of any kind: its ports are left alone everywhere.
        let mut numbers = Numbers { counts, free };
        for record in fleet.policies.values() {
            numbers.exclude(record.ports.ranges());
        }
        Ok(numbers)
    }

    fn exclude(&mut self, ranges: &[PortRange]) {
        for range in ranges {
            if let Some(free) = self.free.get_mut(key(range.protocol())) {
                free.exclude(*range);
            }
        }
    }

    fn choose(&self, fleet: &Fleet, nodes: &[Name]) -> Result<Ports, String> {
        let nodes: BTreeSet<&Name> = nodes.iter().collect();
        let mut ranges = Vec::new();
        for (protocol, count) in self.counts.into_iter().filter(|(_, count)| *count > 0) {
            let Some(free) = self.free.get(key(protocol)) else {
                continue;
            };
            let mut free = free.clone();
            for record in fleet.grants.values() {
                let Members::Listed(members) = &record.members else {
                    continue;
                };
                if members.iter().any(|member| nodes.contains(member)) {
                    record
                        .ports
                        .ranges()
                        .iter()
                        .for_each(|range| free.exclude(*range));
                }
            }
            let range = free.choose(count, 1, random()).map_err(|error| {
                format!(
                    "no block of {count} {protocol} ports is free on all of {} nodes: {error}",
                    nodes.len()
                )
            })?;
            ranges.push(range);
        }
        Ports::new(ranges).map_err(|error| error.to_string())
    }

    /// Leaves out what a node has in the way; all of the block, if it does not say what.
    fn refused(&mut self, ports: &Ports, have: &Have) {
        let named = have.obstacles.iter().map(|it| it.port.parse::<PortRange>());
        let named: Vec<PortRange> = named.filter_map(Result::ok).collect();
        match named.is_empty() || have.more > 0 {
            true => self.exclude(ports.ranges()),
            false => self.exclude(&named),
        }
    }
}
