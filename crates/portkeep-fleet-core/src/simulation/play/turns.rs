use super::Player;
use crate::simulation::world::Answered;

impl Player {
    pub(super) fn act(&mut self, faults: bool) {
        if self.active.is_empty() {
            return;
        }
        let at = self.random.below(self.active.len());
        let actor = self.active[at];
        let answered = match faults {
            true if self.random.one_in(60) => Answered::Lost,
            true if self.random.one_in(60) => Answered::NotSent,
            _ => Answered::Yes,
        };
        self.played.operations += 1;
        if actor < self.settings.nodes {
            let machine = &self.world.machines[actor];
            let (pending, lags) = (machine.pending().len(), machine.lags());
            match (pending, lags) {
                (0, true) => self.world.watch_agent(actor),
                (_, true) if self.random.one_in(2) => self.world.watch_agent(actor),
                _ => {
                    let effect = self.random.below(pending);
                    self.world.agent_step(actor, effect, answered);
                }
            }
        } else {
            self.played.requests_to_engine += 1;
            let runner = actor - self.settings.nodes;
            let (_, pending, lags) = self.world.coordinator(runner);
            match pending && (!lags || self.random.one_in(2)) {
                true => self.world.coordinate_step(runner, answered),
                false => self.world.watch_coordinator(runner),
            }
        }
        if !self.has_work(actor) {
            self.active.swap_remove(at);
            self.is_active[actor] = false;
        }
    }

    fn has_work(&self, actor: usize) -> bool {
        if actor < self.settings.nodes {
            let machine = &self.world.machines[actor];
            return machine.runs() && (!machine.pending().is_empty() || machine.lags());
        }
        let (_, pending, lags) = self.world.coordinator(actor - self.settings.nodes);
        pending || lags
    }

    pub(super) fn wake(&mut self) {
        for actor in std::mem::take(&mut self.world.touched) {
            if actor >= self.is_active.len() {
                self.is_active.resize(actor + 1, false);
            }
            if !self.is_active[actor] && self.has_work(actor) {
                self.is_active[actor] = true;
                self.active.push(actor);
            }
        }
    }
}
