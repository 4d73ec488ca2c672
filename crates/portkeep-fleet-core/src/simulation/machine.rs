use std::collections::{BTreeMap, BTreeSet};

use crate::agent::{Agent, Effect, Identity, Note, Refusal};
use crate::data::{Boot, Key, Mode, Name, Obstacle, Ports};
use crate::engine::Transaction;
use crate::rules::Rules;

/// A machine: its kernel and its store, and the agent that runs on it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Machine {
    pub(super) identity: Identity,
    pub(super) boots: u32,
    pub(super) kernel: BTreeMap<Name, Ports>,
    pub(super) store: BTreeMap<Name, Note>,
    pub(super) strangers: BTreeSet<u16>,
    pub(super) agent: Option<Agent>,
    pub(super) pending: Vec<Effect>,
    /// Sent by an agent that is dead, and not arrived yet.
    pub(super) flying: Option<Transaction>,
    /// Changed since the agent was told last.
    pub(super) dirty: BTreeSet<Key>,
    pub(super) disk_full: bool,
    /// The operator has removed the node: its certificate is good for nothing.
    pub(super) removed: bool,
}

pub(super) fn name(text: &str) -> Name {
    text.parse()
        .unwrap_or_else(|_| unreachable!("the simulation makes names that are allowed"))
}

impl Machine {
    pub(super) fn new(node: &Name, machine: usize) -> Machine {
        let boot = Boot {
            machine: name(&format!("m{machine}")),
            boot: name("b0"),
        };
        Machine {
            identity: Identity {
                node: node.clone(),
                boot,
                labels: BTreeMap::new(),
            },
            boots: 0,
            kernel: BTreeMap::new(),
            store: BTreeMap::new(),
            strangers: BTreeSet::new(),
            agent: None,
            pending: Vec::new(),
            flying: None,
            dirty: BTreeSet::new(),
            disk_full: false,
            removed: false,
        }
    }

    /// The effects of its agent that are to be carried out.
    pub fn pending(&self) -> &[Effect] {
        &self.pending
    }

    /// Whether its agent runs.
    pub fn runs(&self) -> bool {
        self.agent.is_some()
    }

    /// Whether the operator has removed the node.
    pub fn is_removed(&self) -> bool {
        self.removed
    }

    /// Whether there are changes that its agent has not heard of.
    pub fn lags(&self) -> bool {
        self.agent.is_some() && !self.dirty.is_empty()
    }

    /// Whether a vote of a dead agent is under way.
    pub fn has_vote_under_way(&self) -> bool {
        self.flying.is_some()
    }

    /// What the kernel reserves for the fleet.
    pub fn kernel(&self) -> &BTreeMap<Name, Ports> {
        &self.kernel
    }

    /// Whether a stranger can bind a port now.
    pub fn stranger_can_bind(&self, port: u16) -> bool {
        let reserved = |ports: &Ports| ports.ranges().iter().any(|range| range.contains(port));
        let mut kernel = self.kernel.iter();
        !kernel.any(|(id, ports)| !self.is_exclusion(id) && reserved(ports))
    }

    fn is_exclusion(&self, id: &Name) -> bool {
        let note = self.store.get(id);
        note.is_some_and(|note| note.mode == Mode::Exclude)
    }

    /// Whether the ports of one are not in the way of the other.
    fn share(&self, id: &Name, note: &Note, other: &Name) -> bool {
        let theirs = self.store.get(other);
        self.is_exclusion(other)
            || note.replaces.as_ref() == Some(other)
            || theirs.is_some_and(|theirs| theirs.replaces.as_ref() == Some(id))
    }

    pub(super) fn create(&mut self, id: &Name, note: &Note) -> Result<(), Refusal> {
        let ports = &note.ports;
        if self.kernel.contains_key(id) || note.mode == Mode::Exclude {
            self.kernel.insert(id.clone(), ports.clone());
            return Ok(());
        }
        let mut obstacles = Vec::new();
        for (other, theirs) in &self.kernel {
            if theirs.overlaps(ports) && !self.share(id, note, other) {
                let what = format!("reserved for {other}");
                obstacles.push(Obstacle {
                    port: theirs.to_string(),
                    what,
                });
            }
        }
        for port in &self.strangers {
            if ports.ranges().iter().any(|range| range.contains(*port)) {
                let what = "a stranger's socket".to_owned();
                obstacles.push(Obstacle {
                    port: format!("{port}/tcp"),
                    what,
                });
            }
        }
        if !obstacles.is_empty() {
            return Err(Refusal { obstacles });
        }
        self.kernel.insert(id.clone(), ports.clone());
        Ok(())
    }

    pub(super) fn start(&mut self, rules: Rules) -> &mut Agent {
        let kernel = self.kernel.keys().cloned().collect();
        let notes = self.store.clone();
        self.agent
            .insert(Agent::new(self.identity.clone(), rules, notes, &kernel))
    }

    /// The agent dies. The vote that it was about to send may have been sent.
    pub(super) fn crash(&mut self) {
        self.agent = None;
        self.dirty.clear();
        let pending = std::mem::take(&mut self.pending);
        let vote = pending.into_iter().find_map(|effect| match effect {
            Effect::Vote(_, transaction) => Some(transaction),
            _ => None,
        });
        self.flying = vote.or(self.flying.take());
    }

    /// The machine boots again: `portkeep enable` restores what the store keeps over a boot.
    pub(super) fn reboot(&mut self) {
        self.crash();
        self.flying = None;
        self.boots += 1;
        self.identity.boot.boot = name(&format!("b{}", self.boots));
        self.store.retain(|_, note| note.lasting);
        let restored = self
            .store
            .iter()
            .map(|(id, note)| (id.clone(), note.ports.clone()));
        self.kernel = restored.collect();
        self.strangers.clear();
    }
}
