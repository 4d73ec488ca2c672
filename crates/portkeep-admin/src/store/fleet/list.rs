use std::collections::BTreeMap;

use portkeep::PortRange;

use super::FleetTag;
use crate::error::Error;
use crate::store::document::Record;
use crate::store::keeper::{Keeper, Kind};
use crate::store::kernel::Kernel;
use crate::store::scope::Scope;

/// A reservation of a fleet that the store has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FleetEntry {
    /// Which one.
    pub tag: FleetTag,
    /// The ports that the store has of it.
    pub ports: Vec<PortRange>,
    /// Who may bind, as [`FleetRequest::consumers`](crate::FleetRequest::consumers).
    pub consumers: Vec<String>,
    /// The note that is kept with it.
    pub comment: Option<String>,
    /// Whether the kernel part has all of these ports.
    pub enforced: bool,
}

impl Keeper {
    /// What the store has of fleets, and whether the kernel part enforces it. Needs no privilege where the
    /// store can be read.
    ///
    /// # Errors
    ///
    /// If the store or the kernel part's list cannot be read.
    pub fn fleet_entries(&self) -> Result<Vec<FleetEntry>, Error> {
        let document = self.store.load()?;
        let namespace = document.namespace(Some(Scope::Home))?;
        let live = Kernel::in_namespace(&self.installation, &namespace)?.live()?;
        let mut entries: BTreeMap<FleetTag, FleetEntry> = BTreeMap::new();
        for (kind, record) in document.with_kinds() {
            let Some(tag) = &record.fleet else { continue };
            let enforced = live.persistent(namespace.cookie, record.ports).is_some();
            let entry = entries.entry(tag.clone()).or_insert_with(|| FleetEntry {
                tag: tag.clone(),
                ports: Vec::new(),
                consumers: consumers(kind, record),
                comment: record.comment.clone(),
                enforced: true,
            });
            entry.ports.push(record.ports);
            entry.enforced &= enforced;
        }
        Ok(entries.into_values().collect())
    }
}

fn consumers(kind: Kind, record: &Record) -> Vec<String> {
    if kind == Kind::Exclusion {
        return vec!["everybody".to_owned()];
    }
    let named = |what: &'static str, names: &[String]| {
        let names = names.iter();
        names
            .map(|name| format!("{what} {name}"))
            .collect::<Vec<_>>()
    };
    [
        named("user", &record.users),
        named("group", &record.groups),
        named("cgroup", &record.cgroups),
    ]
    .concat()
}
