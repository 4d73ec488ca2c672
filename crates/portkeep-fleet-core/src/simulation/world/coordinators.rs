use std::collections::BTreeSet;

use super::{Answered, World};
use crate::coordinator::{self, Coordinator};
use crate::data::Key;

/// A coordinator, and what it wants done.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Runner {
    pub coordinator: Coordinator,
    pub pending: Vec<coordinator::Effect>,
    pub dirty: BTreeSet<Key>,
    pub answers: Vec<coordinator::Answer>,
}

impl World {
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
