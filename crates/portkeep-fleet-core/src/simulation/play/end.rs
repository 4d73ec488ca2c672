use super::users::Job;
use super::{BAND, LAST, Player};
use crate::coordinator::Goal;
use crate::data::{Key, Kind, Name};

impl Player {
    /// All faults end, everything is released, and nothing may be left.
    pub(super) fn finish(&mut self) {
        for machine in 0..self.settings.nodes {
            self.world.fill_disk(machine, false);
            self.world.land(machine);
            self.world.strangers_leave(machine);
            if !self.world.machines[machine].runs() {
                self.world.start_agent(machine, false);
            }
        }
        self.wake();
        self.drain();
        let open: Vec<(Name, Kind)> = self
            .world
            .truth
            .iter()
            .map(|(id, truth)| (id.clone(), truth.kind))
            .collect();
        for (id, kind) in open {
            let ports = self.world.truth[&id].record.ports.clone();
            let job = Job::new(kind, Vec::new(), ports, None);
            self.jobs.entry(id.clone()).or_insert(job);
            self.steward(&id, Goal::Release);
        }
        self.wake();
        self.drain();
        for machine in 0..self.settings.nodes.min(64) {
            if self.world.machines[machine].is_removed() {
                continue;
            }
            for port in BAND.0..=LAST {
                self.bind(machine, port);
            }
        }
        self.played.violations = self.world.violations().cloned().collect();
        if !self.settings.wipe {
            self.look_for_leftovers();
        }
    }

    fn drain(&mut self) {
        let mut idle = 0;
        while !self.active.is_empty() || idle < 2 {
            idle = if self.active.is_empty() { idle + 1 } else { 0 };
            self.time += 1;
            self.act(false);
            self.wake();
            let ids: Vec<Name> = match self.active.is_empty() {
                true => self.jobs.keys().cloned().collect(),
                false => Vec::new(),
            };
            for id in ids {
                self.hear(&id);
            }
        }
    }

    fn look_for_leftovers(&mut self) {
        self.world.sweeper_looks();
        while self.world.sweeps() {
            self.world.sweeper_deletes();
        }
        let keys = self.world.engine.keys().filter(|key| key.id().is_some());
        let mut left: Vec<String> = keys.map(Key::to_string).collect();
        let machines = self.world.machines.iter();
        for machine in machines.filter(|machine| !machine.is_removed()) {
            let node = &machine.identity.node;
            left.extend(
                machine
                    .kernel
                    .keys()
                    .map(|id| format!("{id} in the kernel of {node}")),
            );
            left.extend(
                machine
                    .store
                    .keys()
                    .map(|id| format!("{id} in the store of {node}")),
            );
        }
        self.played.left = left;
    }
}
