use std::collections::{BTreeMap, BTreeSet};

use super::{Truth, World};
use crate::agent::Standing;
use crate::coordinator::MEMBERS_AT_ONCE;
use crate::data::{Have, Key, Kind, Members, Mode, Name, Phase, Record, Report, Value, WantState};
use crate::engine::Write;
use crate::simulation::machine::Machine;
use crate::simulation::violation::Violation;

impl World {
    /// What takes the place of a reservation that a machine has released must be in the kernel already, and what
    /// both have must have passed to it.
    pub(super) fn look_for_successor(
        &mut self,
        machine: usize,
        id: &Name,
        node: &Name,
        heir: Option<&Name>,
    ) {
        let target = &self.machines[machine];
        let ports = self.truth.get(id).map(|truth| &truth.record.ports);
        let opened = self.truth.iter().find(|(successor, truth)| {
            let directly = truth.record.replaces.as_ref() == Some(id);
            let held = target.kernel.contains_key(*successor);
            let both = ports.is_some_and(|ports| ports.overlaps(&truth.record.ports));
            let is_open = match directly {
                true => !held || heir != Some(*successor),
                false => !held && both && self.has_come_from(successor, id),
            };
            truth.record.phase == Phase::Committed
                && is_open
                && truth.record.concerns(node, &target.identity.labels)
        });
        if let Some((successor, _)) = opened {
            let violation = Violation::Opened(successor.clone(), node.clone());
            self.violations.insert(violation);
        }
    }

    /// Whether one has taken the place of another, over any number of changes.
    fn has_come_from(&self, id: &Name, first: &Name) -> bool {
        let before = std::iter::successors(self.changed.get(id), |id| self.changed.get(*id));
        before.into_iter().any(|old| old == first)
    }

    pub(super) fn judge_vote(&mut self, key: &Key, have: &Have) {
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

    pub(super) fn judge(&mut self, write: &Write) {
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
        if let (Phase::Preparing, Members::Pieces(pieces)) = (record.phase, &record.members) {
            let mut pieces = (0..*pieces).map(|piece| Key::Members(id.clone(), piece));
            if pieces.any(|key| self.engine.get(&key).is_none()) {
                self.violations.insert(Violation::Nameless(id.clone()));
            }
        }
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
            let replaced = record.replaces.iter();
            self.changed
                .extend(replaced.map(|old| (id.clone(), old.clone())));
            self.judge_commit(id, record, kind);
        }
    }

    fn members(&self, id: &Name, record: &Record) -> Vec<Name> {
        match &record.members {
            Members::Listed(names) => names.clone(),
            Members::Pieces(pieces) => {
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
            let soft = [record.mode, truth.record.mode].contains(&Mode::Exclude);
            let both = other != id && truth.record.phase == Phase::Committed && !soft;
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

    /// What must hold of a machine at all times.
    pub(super) fn look_at(&mut self, machine: usize) {
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
}
