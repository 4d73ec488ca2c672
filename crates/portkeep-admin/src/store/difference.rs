//! In what the store, the kernel part and the protected ports disagree.

use std::collections::BTreeMap;
use std::fmt;

use portkeep::{Consumer, Entry, PortRange};

use crate::error::Error;
use crate::store::document::{Document, Record};
use crate::store::keeper::{Keeper, Kind};
use crate::store::kernel::{EVERY_NETNS, Kernel, Live, overlap, same_consumers, without};
use crate::store::names::{Missing, Resolver};
use crate::store::namespace::Namespace;
use crate::store::port_set::PortSet;
use crate::store::ranges::Ranges;
use crate::store::scope::Scope;
use crate::store::session::Protection;

/// Something in which the store, the kernel part and `ip_local_reserved_ports` disagree.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Difference {
    /// The store has it, the kernel part has not.
    Missing(Kind, PortRange),
    /// The kernel part lets others bind there than the names in the store stand for.
    Consumers(PortRange),
    /// The kernel part has it, the store has not.
    Unrecorded(PortRange),
    /// The kernel part has it and the store had it: an administrator has deleted it there.
    Deleted(PortRange),
    /// The kernel part has it instead of something in the store that it overlaps.
    InTheWay(PortRange),
    /// A change of it was interrupted.
    Interrupted(PortRange),
    /// Ports that are not in `ip_local_reserved_ports`, but should be.
    Unprotected(PortSet),
    /// Ports that Portkeep has added to `ip_local_reserved_ports` and that nothing needs.
    NeedlesslyProtected(PortSet),
}

impl Difference {
    /// The block that it is about.
    pub(crate) fn ports(&self) -> Option<PortRange> {
        match self {
            Difference::Missing(_, ports)
            | Difference::Consumers(ports)
            | Difference::Unrecorded(ports)
            | Difference::Deleted(ports)
            | Difference::InTheWay(ports)
            | Difference::Interrupted(ports) => Some(*ports),
            Difference::Unprotected(_) | Difference::NeedlesslyProtected(_) => None,
        }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SETTING: &str = "net.ipv4.ip_local_reserved_ports";
        match self {
            Difference::Missing(Kind::Reservation, ports) => {
                write!(f, "{ports}: reserved in the store, not in the kernel part")
            }
            Difference::Missing(Kind::Exclusion, ports) => {
                write!(f, "{ports}: excluded in the store, not in the kernel part")
            }
            Difference::Consumers(ports) => {
                write!(f, "{ports}: the consumers differ from those in the store")
            }
            Difference::Unrecorded(ports) => {
                write!(f, "{ports}: reserved in the kernel part, not in the store")
            }
            Difference::Deleted(ports) => write!(
                f,
                "{ports}: deleted from the store, reserved in the kernel part"
            ),
            Difference::InTheWay(ports) => write!(
                f,
                "{ports}: reserved in the kernel part, where the store has other ports"
            ),
            Difference::Interrupted(ports) => write!(f, "{ports}: a change was interrupted"),
            Difference::Unprotected(ports) => write!(f, "{ports}: missing from {SETTING}"),
            Difference::NeedlesslyProtected(ports) => write!(f, "{ports}: left over in {SETTING}"),
        }
    }
}

/// What one namespace needs to agree with the store.
#[derive(Debug, Default)]
pub struct Repairs {
    /// To be created.
    pub missing: Vec<(Kind, Record, Vec<Consumer>)>,
    /// To get these consumers.
    pub changed: Vec<(Record, Vec<Consumer>)>,
    /// To be made of what the kernel part has of their ports, in place.
    pub reshaped: Vec<(Kind, Record, Vec<Consumer>)>,
    /// Blocks of the kernel part that are to become others.
    in_the_way: Vec<PortRange>,
    /// Deleted from the store.
    deleted: Vec<PortRange>,
    /// To be removed from the kernel part, each within one reservation of it.
    pub cuts: Vec<(PortRange, Scope)>,
    /// To be written to the store.
    pub unrecorded: Vec<Entry>,
    /// Users, groups and cgroups that do not exist.
    pub unresolved: Vec<(PortRange, Missing)>,
}

impl Repairs {
    pub fn find(document: &Document, namespace: &Namespace, live: &Live) -> Result<Repairs, Error> {
        let mut repairs = Repairs::default();
        let mut resolver = Resolver::default();
        let mut wanted = std::collections::HashSet::new();
        for kind in [Kind::Reservation, Kind::Exclusion] {
            for record in document.records(kind) {
                if record.netns != namespace.scope && !is_everywhere(namespace, &record.netns) {
                    continue;
                }
                // A grant is the agent's to make, and who may bind there changes with the job.
                if record.is_grant() {
                    wanted.insert((cookie(namespace, &record.netns), record.ports));
                    continue;
                }
                let consumers = match kind {
                    Kind::Exclusion => vec![Consumer::EVERYBODY],
                    Kind::Reservation => {
                        let resolved = resolver.resolve(record)?;
                        let missing = resolved.missing.into_iter();
                        repairs
                            .unresolved
                            .extend(missing.map(|missing| (record.ports, missing)));
                        resolved.consumers
                    }
                };
                let cookie = cookie(namespace, &record.netns);
                wanted.insert((cookie, record.ports));
                match live.persistent(cookie, record.ports) {
                    Some(entry) if same_consumers(&entry.named, &consumers) => {}
                    Some(_) => repairs.changed.push((record.clone(), consumers)),
                    None if live.persistent_parts(cookie, record.ports).is_empty() => {
                        repairs.missing.push((kind, record.clone(), consumers));
                    }
                    None => repairs.reshaped.push((kind, record.clone(), consumers)),
                }
            }
        }
        let mut reshaped: BTreeMap<u64, Vec<PortRange>> = BTreeMap::new();
        for (_, record, _) in &repairs.reshaped {
            let cookie = cookie(namespace, &record.netns);
            reshaped.entry(cookie).or_default().push(record.ports);
        }
        let reshaped: BTreeMap<u64, Ranges> = reshaped
            .into_iter()
            .map(|(cookie, ranges)| (cookie, ranges.into_iter().collect()))
            .collect();
        for entry in live.all_persistent() {
            let scope = match entry.netns_cookie {
                EVERY_NETNS => Scope::Every,
                _ => namespace.scope.clone(),
            };
            let concerns_us = scope == namespace.scope || is_everywhere(namespace, &scope);
            if wanted.contains(&(entry.netns_cookie, entry.range)) || !concerns_us {
                continue;
            }
            if repairs.cut_off(reshaped.get(&entry.netns_cookie), entry, &scope) {
                continue;
            }
            let identity = namespace.identity_of(entry.netns_cookie);
            let applied = document.notes.applied(&identity);
            if applied.is_some_and(|applied| applied.contains(entry.range)) {
                repairs.deleted.push(entry.range);
                repairs.cuts.push((entry.range, scope));
            } else {
                repairs.unrecorded.push(entry.clone());
            }
        }
        // What holds in one namespace goes first: what holds in every one may not be there before.
        let everywhere = |(_, record, _): &(Kind, Record, _)| record.netns == Scope::Every;
        repairs.missing.sort_by_key(everywhere);
        Ok(repairs)
    }

    /// Of a reservation that is not the store's as it is, gives back what the store has not; `false`
    /// if the store has none of its ports.
    fn cut_off(&mut self, reshaped: Option<&Ranges>, entry: &Entry, scope: &Scope) -> bool {
        let kept: Vec<PortRange> = reshaped
            .into_iter()
            .flat_map(|reshaped| reshaped.overlapping(entry.range))
            .filter_map(|ports| overlap(ports, entry.range))
            .collect();
        if kept.is_empty() {
            return false;
        }
        self.in_the_way.push(entry.range);
        let cuts = without(entry.range, kept).into_iter();
        self.cuts.extend(cuts.map(|cut| (cut, scope.clone())));
        true
    }

    pub fn differences(&self) -> Vec<Difference> {
        let missing = self
            .missing
            .iter()
            .chain(&self.reshaped)
            .map(|(kind, record, _)| (*kind, record.ports))
            .map(|(kind, ports)| Difference::Missing(kind, ports));
        let changed = self
            .changed
            .iter()
            .map(|(record, _)| Difference::Consumers(record.ports));
        let in_the_way = self
            .in_the_way
            .iter()
            .map(|ports| Difference::InTheWay(*ports));
        let deleted = self.deleted.iter().map(|ports| Difference::Deleted(*ports));
        let unrecorded = self
            .unrecorded
            .iter()
            .map(|entry| Difference::Unrecorded(entry.range));
        missing
            .chain(changed)
            .chain(in_the_way)
            .chain(deleted)
            .chain(unrecorded)
            .collect()
    }
}

impl Protection {
    pub fn differences(&self) -> impl Iterator<Item = Difference> {
        let some = |ports: &PortSet| (!ports.is_empty()).then(|| ports.clone());
        let missing = some(&self.missing).map(Difference::Unprotected);
        let superfluous = some(&self.superfluous).map(Difference::NeedlesslyProtected);
        missing.into_iter().chain(superfluous)
    }
}

/// What holds in every network namespace is looked after at home.
fn is_everywhere(namespace: &Namespace, scope: &Scope) -> bool {
    *scope == Scope::Every && namespace.scope.is_home()
}

fn cookie(namespace: &Namespace, scope: &Scope) -> u64 {
    match scope {
        Scope::Every => EVERY_NETNS,
        _ => namespace.cookie,
    }
}

impl Keeper {
    /// In what the store, the kernel part and the protected ports differ, in the network namespace
    /// of the calling thread. Needs no privilege where the store can be read.
    ///
    /// # Errors
    ///
    /// If one of them cannot be read.
    pub fn differences(&self) -> Result<Vec<Difference>, Error> {
        let document = self.store.load()?;
        let namespace = document.namespace(None)?;
        let live = Kernel::in_namespace(&self.installation, &namespace)?.live()?;
        let interrupted = document
            .notes
            .pending
            .iter()
            .map(|pending| Difference::Interrupted(pending.ports));
        let repairs = Repairs::find(&document, &namespace, &live)?;
        let protection = document.protection(&namespace, &live)?;
        Ok(interrupted
            .chain(repairs.differences())
            .chain(protection.differences())
            .collect())
    }
}
