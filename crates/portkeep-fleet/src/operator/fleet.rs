//! The fleet as the engine has it at one instant.

use std::collections::{BTreeMap, BTreeSet};

use portkeep_fleet_core::data::{Boot, Config, Have, Key, Kind, Name, Phase, Record, Value};
use portkeep_fleet_core::engine::Read;

use crate::engine::{Engine, EngineError, Unreadable};
use crate::error::Error;

/// A node.
#[derive(Clone, Debug, Default)]
pub struct Node {
    /// What selectors match.
    pub labels: BTreeMap<String, String>,
    /// Which boot acts for it. None, if its agent is not connected.
    pub alive: Option<Boot>,
    /// What it says of each reservation.
    pub haves: BTreeMap<Name, Have>,
    /// An operator has added it.
    pub is_added: bool,
}

/// All of it.
#[derive(Clone, Debug, Default)]
pub struct Fleet {
    /// The nodes.
    pub nodes: BTreeMap<Name, Node>,
    /// The operators' reservations, by their IDs.
    pub policies: BTreeMap<Name, Record>,
    /// The jobs' reservations, by their IDs.
    pub grants: BTreeMap<Name, Record>,
    /// The reservations that somebody is at work on.
    pub held: BTreeSet<Name>,
    /// The names of members of policies.
    pub members: BTreeMap<Name, BTreeSet<Name>>,
    /// What this version does not understand.
    pub unreadable: Vec<Unreadable>,
    /// All that was read.
    pub reads: Vec<Read>,
}

impl Fleet {
    /// Reads it.
    ///
    /// # Errors
    ///
    /// If etcd does not answer.
    pub async fn read(engine: &Engine) -> Result<Fleet, EngineError> {
        let listing = engine.list("").await?;
        Ok(Fleet::of(listing.reads, listing.unreadable))
    }

    /// What holds for all of it.
    ///
    /// # Errors
    ///
    /// If there is no fleet.
    pub fn config(&self) -> Result<&Config, Error> {
        let found = self.reads.iter().find(|read| read.key == Key::Config);
        match found
            .and_then(|read| read.found.as_ref())
            .map(|it| &it.value)
        {
            Some(Value::Config(config)) => Ok(config),
            _ => Err(Error::no_fleet()),
        }
    }

    /// What was read of it.
    pub fn of(reads: Vec<Read>, unreadable: Vec<Unreadable>) -> Fleet {
        let mut fleet = Fleet {
            unreadable,
            ..Fleet::default()
        };
        for read in &reads {
            if let Some(found) = &read.found {
                fleet.take(&read.key, &found.value);
            }
        }
        // What a node that was never added has is nobody's.
        fleet.nodes.retain(|_, node| node.is_added);
        fleet.reads = reads;
        fleet
    }

    fn take(&mut self, key: &Key, value: &Value) {
        match (key, value) {
            (Key::Spec(node), Value::Spec(spec)) => {
                let node = self.nodes.entry(node.clone()).or_default();
                node.labels = spec.labels.clone();
                node.is_added = true;
            }
            (Key::Alive(node), Value::Alive(alive)) => {
                self.nodes.entry(node.clone()).or_default().alive = Some(alive.boot.clone());
            }
            (Key::Have(node, id), Value::Have(have)) => {
                let node = self.nodes.entry(node.clone()).or_default();
                node.haves.insert(id.clone(), have.clone());
            }
            (Key::Policy(id), Value::Record(record)) => {
                self.policies.insert(id.clone(), (**record).clone());
            }
            (Key::Grant(id), Value::Record(record)) => {
                self.grants.insert(id.clone(), (**record).clone());
            }
            (Key::Members(id, _), Value::Members(names)) => {
                let known = self.members.entry(id.clone()).or_default();
                known.extend(names.iter().cloned());
            }
            (Key::Hold(id), _) => {
                self.held.insert(id.clone());
            }
            _ => {}
        }
    }

    /// The nodes that are to hold a policy.
    pub fn concerned<'a>(
        &'a self,
        record: &'a Record,
    ) -> impl Iterator<Item = (&'a Name, &'a Node)> {
        let nodes = self.nodes.iter();
        nodes.filter(|(name, node)| record.concerns(name, &node.labels))
    }

    /// The policies that people call this, or whose ID it is, but for those that end.
    pub fn policies_named(&self, name: &Name) -> Vec<(&Name, &Record)> {
        let policies = self.policies.iter();
        policies
            .filter(|(id, record)| record.name.as_ref() == Some(name) || *id == name)
            .filter(|(_, record)| record.phase != Phase::Ending)
            .collect()
    }

    /// What a coordinator that is not there any more was at work on, and what is to become of it: what was
    /// being prepared ends, and what ends is completed.
    pub fn leftovers(&self) -> impl Iterator<Item = (Kind, &Name, &Record)> {
        let policies = self.policies.iter().map(|(id, it)| (Kind::Policy, id, it));
        let grants = self.grants.iter().map(|(id, it)| (Kind::Grant, id, it));
        let open = policies
            .chain(grants)
            .filter(|(_, _, record)| record.phase != Phase::Committed);
        open.filter(|(_, id, _)| !self.held.contains(*id))
    }
}

/// The policy that people call this, or whose ID it is, if it is decided and the only one.
///
/// # Errors
///
/// If there is none, or are several.
pub fn the_policy<'a>(fleet: &'a Fleet, name: &Name) -> Result<(&'a Name, &'a Record), Error> {
    let named = fleet.policies_named(name).into_iter();
    let decided = named.filter(|(_, record)| record.phase == Phase::Committed);
    match decided.collect::<Vec<_>>()[..] {
        [it] => Ok(it),
        [] => Err(Error::refused(format!("there is no policy {name}"))
            .with_hint("`portkeep fleet status` shows them")),
        _ => Err(Error::refused(format!("there are several policies {name}"))
            .with_hint("name one by its ID, which `portkeep fleet status --json` shows")),
    }
}

/// What people call a policy.
pub fn name_of<'a>(id: &'a Name, record: &'a Record) -> &'a Name {
    record.name.as_ref().unwrap_or(id)
}
