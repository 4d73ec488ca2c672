use std::collections::{BTreeMap, BTreeSet};

use super::engine::Engine;
use super::machine::{Machine, name};
use super::violation::Violation;
use crate::agent::{self, Input, Standing};
use crate::coordinator::{self, Coordinator, MEMBERS_AT_ONCE};
use crate::data::{Have, Key, Kind, Name, Phase, Record, Report, Value, WantState};
use crate::engine::{Outcome, Read, Transaction, Write};
use crate::rules::Rules;

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
    boots: BTreeMap<Name, u32>,
}

/// A coordinator, and what it wants done.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Runner {
    pub coordinator: Coordinator,
    pub pending: Vec<coordinator::Effect>,
    pub dirty: BTreeSet<Key>,
    pub answers: Vec<coordinator::Answer>,
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
    pub(super) runners: Vec<Option<Runner>>,
    pub(super) truth: BTreeMap<Name, Truth>,
    gone: BTreeSet<Name>,
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
            truth: BTreeMap::new(),
            gone: BTreeSet::new(),
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

    /// What a coordinator told its user.
    pub fn answers(&self, index: usize) -> &[coordinator::Answer] {
        let runner = self.runners.get(index).and_then(Option::as_ref);
        runner.map_or(&[], |runner| &runner.answers)
    }

    /// Starts a coordinator, and says which one it is.
    pub fn coordinate(&mut self, coordinator: Coordinator) -> usize {
        let mut runner = Runner {
            coordinator,
            pending: Vec::new(),
            dirty: BTreeSet::new(),
            answers: Vec::new(),
        };
        runner.take(coordinator::Input::Start);
        let free = self.runners.iter().position(Option::is_none);
        let index = free.unwrap_or_else(|| {
            self.runners.push(None);
            self.runners.len() - 1
        });
        self.runners[index] = Some(runner);
        self.touched.push(self.machines.len() + index);
        index
    }

    /// Kills a coordinator.
    pub fn stop(&mut self, index: usize) {
        self.runners[index] = None;
    }

    /// Whether a coordinator runs, has something to do, and has not heard of everything.
    pub fn coordinator(&self, index: usize) -> (bool, bool, bool) {
        match self.runners.get(index).and_then(Option::as_ref) {
            Some(runner) => (true, !runner.pending.is_empty(), !runner.dirty.is_empty()),
            None => (false, false, false),
        }
    }

    /// Tells a coordinator something.
    pub fn tell(&mut self, index: usize, input: coordinator::Input) {
        if let Some(runner) = &mut self.runners[index] {
            runner.take(input);
            self.touched.push(self.machines.len() + index);
        }
    }

    /// The watch reports to a coordinator all that has changed.
    pub fn watch_coordinator(&mut self, index: usize) {
        if let Some(runner) = &mut self.runners[index] {
            let dirty = std::mem::take(&mut runner.dirty);
            let reads = dirty.iter().map(|key| self.engine.read(key)).collect();
            runner.take(coordinator::Input::Changed(reads));
            self.touched.push(self.machines.len() + index);
        }
    }

    /// Carries out what a coordinator wants done.
    pub fn coordinate_step(&mut self, index: usize, answered: Answered) {
        let Some(effect) = self.runners[index]
            .as_mut()
            .and_then(|runner| runner.pending.pop())
        else {
            return;
        };
        use coordinator::{Effect, Input};
        let input = match effect {
            Effect::Look(keys) => {
                Input::Looked(keys.iter().map(|key| self.engine.read(key)).collect())
            }
            Effect::Scan => {
                let id = self.runners[index]
                    .as_ref()
                    .map(|runner| runner.coordinator.id().clone());
                let reports = self.engine.keys().filter_map(|key| match key {
                    Key::Have(node, of) if Some(of) == id.as_ref() => Some(node.clone()),
                    _ => None,
                });
                Input::Scanned(reports.collect())
            }
            Effect::Apply(_, transaction) => Input::Applied(self.request(&transaction, answered)),
            Effect::Answer(_) => return,
        };
        self.tell(index, input);
    }

    /// Starts the agent of a machine. With an old list, it hears of no reservation.
    pub fn start_agent(&mut self, machine: usize, old_list: bool) {
        let mut reads: Vec<Read> = Vec::new();
        let node = self.machines[machine].identity.node.clone();
        reads.push(self.engine.read(&Key::Alive(node.clone())));
        if !old_list {
            let keys = self.inbox(&node);
            reads.extend(keys.iter().map(|key| self.engine.read(key)));
        }
        self.inexact |= old_list;
        let rules = self.rules;
        let target = &mut self.machines[machine];
        target.crash();
        let agent = target.start(rules);
        let listed = agent.step(Input::Listed(reads));
        let connected = agent.step(Input::Connected);
        target.pending = listed.into_iter().chain(connected).collect();
        if old_list {
            let keys = self.inbox(&node);
            self.machines[machine].dirty = keys.into_iter().collect();
        }
        self.touched.push(machine);
        self.look_at(machine);
    }

    /// The keys that an agent lists.
    fn inbox(&self, node: &Name) -> Vec<Key> {
        let least = name("#");
        let wants = self.engine.from(&Key::Want(node.clone(), least.clone()));
        let wants = wants.take_while(|key| matches!(key, Key::Want(of, _) if of == node));
        let haves = self.engine.from(&Key::Have(node.clone(), least.clone()));
        let haves = haves.take_while(|key| matches!(key, Key::Have(of, _) if of == node));
        let policies = self.engine.from(&Key::Policy(least.clone()));
        let policies = policies.take_while(|key| matches!(key, Key::Policy(_)));
        wants.chain(haves).chain(policies).cloned().collect()
    }

    /// Kills the agent of a machine.
    pub fn kill_agent(&mut self, machine: usize) {
        self.machines[machine].crash();
        self.look_at(machine);
    }

    /// Boots a machine again.
    pub fn reboot(&mut self, machine: usize) {
        self.machines[machine].reboot();
    }

    /// A vote of an agent that is dead arrives.
    pub fn land(&mut self, machine: usize) {
        if let Some(transaction) = self.machines[machine].flying.take() {
            self.request(&transaction, Answered::Yes);
        }
    }

    /// The watch reports to an agent all that has changed.
    pub fn watch_agent(&mut self, machine: usize) {
        let dirty = std::mem::take(&mut self.machines[machine].dirty);
        for key in dirty {
            let read = self.engine.read(&key);
            self.agent_takes(machine, Input::Read(read));
        }
    }

    /// The engine is not heard of for long.
    pub fn silence(&mut self, machine: usize) {
        self.agent_takes(machine, Input::Silence);
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

    /// Carries out what an agent wants done.
    pub fn agent_step(&mut self, machine: usize, effect: usize, answered: Answered) {
        if effect >= self.machines[machine].pending.len() {
            return;
        }
        use agent::Effect;
        let target = &mut self.machines[machine];
        let input = match target.pending.remove(effect) {
            Effect::Note(id, note) => {
                let written = !target.disk_full;
                if written {
                    target.store.insert(id.clone(), note);
                }
                Input::Noted(id, written)
            }
            Effect::Create(id, ports, _) => {
                let result = target.create(&id, &ports);
                Input::Created(id, result)
            }
            Effect::Delete(id) => {
                self.release(machine, &id);
                Input::Deleted(id)
            }
            Effect::Erase(id) => {
                target.store.remove(&id);
                Input::Erased(id)
            }
            Effect::Vote(id, transaction) => {
                if answered == Answered::NotSent {
                    target.flying.get_or_insert_with(|| transaction.clone());
                }
                Input::Voted(id, self.request(&transaction, answered))
            }
            Effect::Announce(transaction) => Input::Announced(self.request(&transaction, answered)),
            Effect::Look(key) => Input::Read(self.engine.read(&key)),
        };
        self.agent_takes(machine, input);
    }

    fn agent_takes(&mut self, machine: usize, input: Input) {
        let target = &mut self.machines[machine];
        if let Some(agent) = &mut target.agent {
            target.pending.extend(agent.step(input));
            self.touched.push(machine);
        }
        self.look_at(machine);
    }

    fn release(&mut self, machine: usize, id: &Name) {
        let target = &mut self.machines[machine];
        target.kernel.remove(id);
        let node = target.identity.node.clone();
        let truth = self
            .truth
            .get(id)
            .filter(|truth| truth.record.phase == Phase::Committed);
        // A node that comes later and has not said `held` yet may take it back.
        if truth.is_some_and(|truth| truth.boots.contains_key(&node)) {
            self.violations.insert(Violation::Opened(id.clone(), node));
        }
    }

    /// What must hold of a machine at all times.
    fn look_at(&mut self, machine: usize) {
        let target = &self.machines[machine];
        let node = &target.identity.node;
        let unknown = target
            .kernel
            .keys()
            .filter(|id| !target.store.contains_key(*id));
        let unknown = unknown.map(|id| Violation::Unknown(id.clone(), node.clone()));
        let mut found: Vec<Violation> = unknown.collect();
        if let Some(agent) = &target.agent
            && !self.inexact
        {
            let orphans = agent
                .standing()
                .filter(|(_, standing)| *standing == Standing::Orphan);
            let gone = orphans.filter(|(id, _)| self.is_gone(id));
            found.extend(gone.map(|(id, _)| Violation::Leaked(id.clone(), node.clone())));
        }
        self.violations.extend(found);
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

    fn judge_vote(&mut self, key: &Key, have: &Have) {
        let Key::Have(node, id) = key else {
            return;
        };
        let acting = match self.engine.get(&Key::Alive(node.clone())) {
            Some(Value::Alive(alive)) => Some(&alive.boot),
            _ => None,
        };
        if acting != Some(&have.boot) {
            let violation = Violation::ForeignVote(id.clone(), node.clone());
            self.violations.insert(violation);
        }
        let machines = self.machines_of(node);
        let voter = machines.iter().map(|machine| &self.machines[*machine]);
        // A vote that arrives after a reboot says nothing, and is not counted.
        let mut voter = voter.filter(|machine| machine.identity.boot == have.boot);
        let untrue = voter.any(|machine| {
            let kernel = machine.kernel.contains_key(id);
            let kept = kernel || machine.store.contains_key(id);
            (have.report == Report::Held && !kernel) || (have.report == Report::Released && kept)
        });
        if untrue {
            self.violations
                .insert(Violation::UntrueVote(id.clone(), node.clone()));
        }
        if have.report == Report::Held {
            let boots = self.boots([node], |_| true);
            let truth = self.truth.get_mut(id);
            if let Some(truth) = truth.filter(|truth| truth.record.phase == Phase::Committed) {
                truth.boots.extend(boots);
            }
        }
    }

    fn judge(&mut self, write: &Write) {
        match write {
            Write::Put(Key::Grant(id), Value::Record(record)) => {
                self.judge_record(id, record, Kind::Grant);
            }
            Write::Put(Key::Policy(id), Value::Record(record)) => {
                self.judge_record(id, record, Kind::Policy);
            }
            Write::Delete(Key::Grant(id) | Key::Policy(id)) => {
                let known = self.truth.remove(id).is_some();
                self.gone.extend(known.then(|| id.clone()));
            }
            Write::Put(Key::Want(node, id), Value::Want(want)) => {
                let ended = matches!(self.phase(id), Some(Phase::Ending)) || self.is_gone(id);
                if want.state == WantState::Want && ended {
                    let violation = Violation::AskedAfterEnd(id.clone(), node.clone());
                    self.violations.insert(violation);
                }
            }
            _ => {}
        }
    }

    fn judge_record(&mut self, id: &Name, record: &Record, kind: Kind) {
        let back = self.phase(id).is_some_and(|phase| phase > record.phase);
        let gone = self.is_gone(id);
        if back || gone {
            self.violations.insert(Violation::WentBack(id.clone()));
        }
        if !gone {
            let record = record.clone();
            let boots = match record.phase {
                Phase::Committed => self.holders(id, &self.members(id, &record)),
                Phase::Preparing | Phase::Ending => BTreeMap::new(),
            };
            self.truth.insert(
                id.clone(),
                Truth {
                    record,
                    kind,
                    boots,
                },
            );
        }
        if record.phase == Phase::Committed && !gone {
            self.judge_commit(id, record, kind);
        }
    }

    fn members(&self, id: &Name, record: &Record) -> Vec<Name> {
        match &record.members {
            crate::data::Members::Listed(names) => names.clone(),
            crate::data::Members::Pieces(pieces) => {
                let keys = (0..*pieces).map(|piece| Key::Members(id.clone(), piece));
                let names = keys.filter_map(|key| match self.engine.get(&key) {
                    Some(Value::Members(names)) => Some(names.clone()),
                    _ => None,
                });
                names.flatten().collect()
            }
        }
    }

    fn holders(&self, id: &Name, nodes: &[Name]) -> BTreeMap<Name, u32> {
        self.boots(nodes, |machine| machine.kernel.contains_key(id))
    }

    fn boots<'a>(
        &self,
        nodes: impl IntoIterator<Item = &'a Name>,
        counts: impl Fn(&Machine) -> bool,
    ) -> BTreeMap<Name, u32> {
        let boots = |node: &Name| {
            let first = *self.machines_of(node).first()?;
            let machine = &self.machines[first];
            counts(machine).then(|| (node.clone(), machine.boots))
        };
        nodes.into_iter().filter_map(boots).collect()
    }

    fn judge_commit(&mut self, id: &Name, record: &Record, kind: Kind) {
        let members = self.members(id, record);
        let exact = members.len() <= MEMBERS_AT_ONCE;
        for node in &members {
            let alive = match self.engine.get(&Key::Alive(node.clone())) {
                Some(Value::Alive(alive)) => Some(alive.boot.clone()),
                _ => None,
            };
            let machines = self.machines_of(node);
            let mut machines = machines.iter().map(|machine| &self.machines[*machine]);
            // Rebooted, and its agent has not said so yet: the exception that no protocol can avoid.
            let enforced = machines.any(|machine| {
                let announced = alive.as_ref() == Some(&machine.identity.boot);
                let excused = machine.boots > 0 && kind == Kind::Grant && (!announced || !exact);
                machine.kernel.contains_key(id) || excused
            });
            if !enforced {
                self.violations
                    .insert(Violation::NotEnforced(id.clone(), node.clone()));
            }
        }
        let set: BTreeSet<&Name> = members.iter().collect();
        let mut doubles = Vec::new();
        for (other, truth) in &self.truth {
            let both = other != id && truth.record.phase == Phase::Committed;
            if both && truth.record.ports.overlaps(&record.ports) {
                // A node that was booted since has lost it, and its owner is told.
                let members = truth.boots.iter().filter(|(node, _)| set.contains(node));
                let now = self.boots(members.clone().map(|(node, _)| node), |_| true);
                let mut kept = members.filter(|(node, boots)| now.get(*node) == Some(boots));
                if kept.next().is_some() {
                    doubles.push(Violation::TwoOwners(other.clone(), id.clone()));
                }
            }
        }
        self.violations.extend(doubles);
    }
}

impl Runner {
    fn take(&mut self, input: coordinator::Input) {
        for effect in self.coordinator.step(input) {
            match effect {
                coordinator::Effect::Answer(answer) => self.answers.push(answer),
                effect => self.pending.push(effect),
            }
        }
    }
}
