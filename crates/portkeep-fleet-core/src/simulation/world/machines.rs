use super::{Answered, World};
use crate::agent::{self, Input};
use crate::data::{FORMAT, Key, Name, Phase, Removed, Unknown, Value};
use crate::engine::Read;
use crate::simulation::machine::name;
use crate::simulation::violation::Violation;

impl World {
    /// The operator removes the node of a machine that is down for ever.
    pub fn remove_node(&mut self, machine: usize) {
        let node = self.machines[machine].identity.node.clone();
        self.machines[machine].crash();
        self.machines[machine].flying = None;
        self.machines[machine].removed = true;
        let removed = Value::Removed(Removed {
            format: FORMAT,
            by: String::new(),
            unknown: Unknown::new(),
        });
        let key = Key::Removed(node.clone());
        self.engine.set(&key, Some(removed));
        self.changed(&key);
        let keys = self.engine.keys();
        let keys = keys.filter(|key| key.node() == Some(&node) && !matches!(key, Key::Removed(_)));
        for key in keys.cloned().collect::<Vec<Key>>() {
            self.engine.set(&key, None);
            self.changed(&key);
        }
    }

    /// Starts the agent of a machine. With an old list, it hears of no reservation.
    pub fn start_agent(&mut self, machine: usize, old_list: bool) {
        if self.machines[machine].removed {
            return;
        }
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
        let reads = dirty.iter().map(|key| self.engine.read(key)).collect();
        self.agent_takes(machine, Input::Changed(reads));
    }

    /// The engine is not heard of for long.
    pub fn silence(&mut self, machine: usize) {
        self.agent_takes(machine, Input::Silence);
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
            Effect::Create(id, note) => {
                let result = target.create(&id, &note);
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
        let agent = target.agent.as_ref();
        let heir = agent.and_then(|agent| agent.successor(id));
        let heir = heir.map(|(successor, _)| successor.clone());
        target.kernel.remove(id);
        let node = target.identity.node.clone();
        let truth = self
            .truth
            .get(id)
            .filter(|truth| truth.record.phase == Phase::Committed);
        // A node that comes later, or was booted, and has not said `held` since may take it back.
        let boots = target.boots;
        if truth.is_some_and(|truth| truth.boots.get(&node) == Some(&boots)) {
            let violation = Violation::Opened(id.clone(), node.clone());
            self.violations.insert(violation);
        }
        self.look_for_successor(machine, id, &node, heir.as_ref());
    }
}
