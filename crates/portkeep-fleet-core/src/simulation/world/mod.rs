use std::collections::{BTreeMap, BTreeSet};

mod coordinators;
mod judge;
mod machines;

use super::engine::Engine;
use super::machine::{Machine, name};
use super::violation::Violation;
use crate::data::{Have, Key, Kind, Name, Phase, Record, Report, Value};
use crate::engine::{Outcome, Read, Transaction, Write};
use crate::rules::Rules;
use crate::sweeper::sweep;
use coordinators::Runner;

/// What becomes of a request and its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Answered {
    /// It happens, and the answer arrives.
    Yes,
    /// It happens, and the answer is lost.
    Lost,
    /// No answer arrives. A vote may happen later, other requests never do.
    NotSent,
}

/// How far a reservation really is, whatever becomes of the engine.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Truth {
    pub record: Record,
    pub kind: Kind,
    /// How often each member had been booted when it was committed.
    pub boots: BTreeMap<Name, u32>,
}

/// An engine, machines and coordinators. Each method is one thing that may happen next.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct World {
    rules: Rules,
    nodes: usize,
    /// The engine.
    pub engine: Engine,
    /// The machines: one per node, then clones.
    pub machines: Vec<Machine>,
    runners: Vec<Option<Runner>>,
    /// What a sweeper is about to delete.
    sweeping: Vec<Transaction>,
    pub(super) truth: BTreeMap<Name, Truth>,
    gone: BTreeSet<Name>,
    /// What each change took the place of when it was committed.
    pub(super) changed: BTreeMap<Name, Name>,
    /// The keys were lost, or an old list was read: what is kept then is kept on purpose.
    inexact: bool,
    violations: BTreeSet<Violation>,
    /// Machines, and coordinators behind them, that something happened to.
    pub(super) touched: Vec<usize>,
}

impl World {
    /// Nodes `n0`, `n1`, and so on, whose agents do not run yet.
    pub fn new(nodes: usize, rules: Rules) -> World {
        let machines = (0..nodes).map(|node| Machine::new(&name(&format!("n{node}")), node));
        World {
            rules,
            nodes,
            engine: Engine::default(),
            machines: machines.collect(),
            runners: Vec::new(),
            sweeping: Vec::new(),
            truth: BTreeMap::new(),
            gone: BTreeSet::new(),
            changed: BTreeMap::new(),
            inexact: false,
            violations: BTreeSet::new(),
            touched: Vec::new(),
        }
    }

    /// Adds a machine with the name of a node that is there.
    pub fn clone_of(&mut self, node: usize) {
        let node = self.machines[node].identity.node.clone();
        let machine = self.machines.len();
        self.machines.push(Machine::new(&node, machine));
    }

    /// Forgets which parts something happened to, so that equal worlds are equal.
    pub fn settled(&mut self) {
        self.touched.clear();
    }

    /// What has happened that must not.
    pub fn violations(&self) -> impl Iterator<Item = &Violation> {
        self.violations.iter()
    }

    /// How far a reservation is: nothing once it is gone.
    pub fn phase(&self, id: &Name) -> Option<Phase> {
        self.truth.get(id).map(|truth| truth.record.phase)
    }

    /// Whether a reservation has come and gone.
    pub fn is_gone(&self, id: &Name) -> bool {
        self.gone.contains(id)
    }

    /// A sweeper looks for names of members without a record.
    pub fn sweeper_looks(&mut self) {
        let keys = self.engine.keys();
        let keys = keys.filter(|key| matches!(key, Key::Policy(_) | Key::Members(..)));
        let reads: Vec<Read> = keys.map(|key| self.engine.read(key)).collect();
        self.sweeping = sweep(&reads);
    }

    /// Whether the sweeper has something to delete.
    pub fn sweeps(&self) -> bool {
        !self.sweeping.is_empty()
    }

    /// The sweeper deletes one of the keys that it has found.
    pub fn sweeper_deletes(&mut self) {
        if let Some(transaction) = self.sweeping.pop() {
            self.request(&transaction, Answered::Yes);
        }
    }

    /// A stranger binds a port, if the kernel lets it.
    pub fn stranger_binds(&mut self, machine: usize, port: u16) -> bool {
        let machine = &mut self.machines[machine];
        machine.stranger_can_bind(port) && machine.strangers.insert(port)
    }

    /// All strangers on a machine end.
    pub fn strangers_leave(&mut self, machine: usize) {
        self.machines[machine].strangers.clear();
    }

    /// The disk of a machine is full, or is not any more.
    pub fn fill_disk(&mut self, machine: usize, full: bool) {
        self.machines[machine].disk_full = full;
    }

    /// The lease of a node ends.
    pub fn expire(&mut self, node: usize) {
        let key = Key::Alive(self.machines[node].identity.node.clone());
        self.engine.set(&key, None);
        self.changed(&key);
    }

    /// Somebody deletes all keys.
    pub fn wipe(&mut self) {
        let keys: Vec<Key> = self.engine.keys().cloned().collect();
        for key in keys.iter().filter(|key| key.id().is_some()) {
            self.engine.set(key, None);
            self.changed(key);
        }
        self.inexact = true;
    }

    fn request(&mut self, transaction: &Transaction, answered: Answered) -> Outcome {
        if answered == Answered::NotSent {
            return Outcome::Unknown;
        }
        let before = transaction.writes.iter().filter_map(|write| match write {
            Write::Put(_, Value::Have(have)) if have.report != Report::Offering => {
                Some((write.key().clone(), have.clone()))
            }
            _ => None,
        });
        let votes: Vec<(Key, Have)> = before.collect();
        let outcome = self.engine.apply(transaction);
        if let Outcome::Done(_) = &outcome {
            for (key, have) in &votes {
                self.judge_vote(key, have);
            }
            for write in &transaction.writes {
                self.judge(write);
                self.changed(write.key());
            }
        }
        match answered {
            Answered::Yes => outcome,
            Answered::Lost | Answered::NotSent => Outcome::Unknown,
        }
    }

    fn changed(&mut self, key: &Key) {
        for (index, runner) in self.runners.iter_mut().enumerate() {
            if let Some(runner) = runner
                && runner.coordinator.watches(key)
            {
                runner.dirty.insert(key.clone());
                self.touched.push(self.machines.len() + index);
            }
        }
        let concerned: Vec<usize> = match (key, key.node()) {
            (Key::Have(..), _) => Vec::new(),
            (_, Some(node)) => self.machines_of(node),
            (Key::Policy(_), None) => (0..self.machines.len()).collect(),
            _ => Vec::new(),
        };
        for machine in concerned {
            if self.machines[machine].agent.is_some() {
                self.machines[machine].dirty.insert(key.clone());
                self.touched.push(machine);
            }
        }
    }

    fn machines_of(&self, node: &Name) -> Vec<usize> {
        let first = node.as_str()[1..].parse().unwrap_or(0);
        let clones = (self.nodes..self.machines.len())
            .filter(|machine| self.machines[*machine].identity.node == *node);
        std::iter::once(first).chain(clones).collect()
    }
}
