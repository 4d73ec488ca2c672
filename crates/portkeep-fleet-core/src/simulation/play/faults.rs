use portkeep::Protocol;

use super::{BAND, LAST, Player};
use crate::checker::What;
use crate::data::{Kind, Name};
use crate::simulation::machine::name;

impl Player {
    pub(super) fn fault(&mut self) {
        let machine = self.random.below(self.settings.nodes);
        match self.random.below(11) {
            0 => {
                self.world.kill_agent(machine);
                self.down.push(machine);
            }
            1 => self.reboot(machine),
            2 => self.world.expire(machine),
            3 => self.world.land(machine),
            4 => self.world.fill_disk(machine, true),
            5 => self.world.fill_disk(machine, false),
            6 => {
                if let Some(id) = self.any_job()
                    && let Some(runner) = self.jobs.get_mut(&id).and_then(|job| job.runner.take())
                {
                    self.world.stop(runner);
                }
            }
            7 => {
                if let Some(machine) = self.down.pop() {
                    self.world.start_agent(machine, false);
                }
            }
            8 => match self.world.sweeps() {
                true => self.world.sweeper_deletes(),
                false => self.world.sweeper_looks(),
            },
            9 => self.remove(machine),
            _ => self.world.strangers_leave(machine),
        }
    }

    /// A node that is down is down for ever, and the operator says so.
    fn remove(&mut self, machine: usize) {
        let removed = self
            .world
            .machines
            .iter()
            .filter(|machine| machine.is_removed());
        if !self.world.machines[machine].runs() && removed.count() < self.settings.nodes / 6 {
            self.world.remove_node(machine);
        }
    }

    fn reboot(&mut self, machine: usize) {
        self.world.reboot(machine);
        self.down.push(machine);
        let node = name(&format!("n{machine}"));
        let grants = self.jobs.iter().filter(|(_, job)| job.kind == Kind::Grant);
        let lost: Vec<Name> = grants
            .filter(|(_, job)| job.nodes.contains(&node))
            .map(|(id, _)| id.clone())
            .collect();
        for id in lost {
            self.note(What::Lost(id, node.clone()));
        }
    }

    pub(super) fn any_job(&mut self) -> Option<Name> {
        let index = self.random.below(self.jobs.len());
        self.jobs.keys().nth(index).cloned()
    }

    pub(super) fn probe(&mut self) {
        let machine = self.random.below(self.settings.nodes);
        let span = usize::from(LAST - BAND.0) + 1;
        let port = BAND.0 + u16::try_from(self.random.below(span)).unwrap_or(0);
        self.bind(machine, port);
        // Most strangers do not stay.
        if !self.random.one_in(8) {
            self.world.strangers_leave(machine);
        }
    }

    pub(super) fn bind(&mut self, machine: usize, port: u16) {
        let bound = self.world.machines[machine].stranger_can_bind(port);
        self.world.stranger_binds(machine, port);
        let node = name(&format!("n{machine}"));
        let (protocol, by) = (Protocol::Tcp, None);
        self.note(What::Bind {
            node,
            protocol,
            port,
            by,
            bound,
        });
    }
}
