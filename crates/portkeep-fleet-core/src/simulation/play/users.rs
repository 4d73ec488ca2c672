use portkeep::{PortRange, Protocol};

use super::{BAND, POLICIES, Player, draft};
use crate::allocator::Allocator;
use crate::checker::What;
use crate::coordinator::{Answer, Coordinator, Goal, Input};
use crate::data::{Kind, Mode, Name, Ports, Record};
use crate::simulation::machine::name;

#[derive(Clone, Debug)]
pub(super) struct Job {
    pub kind: Kind,
    pub nodes: Vec<Name>,
    pub ports: Ports,
    pub granted: bool,
    pub runner: Option<usize>,
    pub releasing: bool,
    pub answers: usize,
    /// When it was asked for.
    pub asked: u64,
    /// The policy that it changes.
    pub replaces: Option<Name>,
    /// It refuses nobody.
    pub excludes: bool,
}

impl Job {
    pub(super) fn new(kind: Kind, nodes: Vec<Name>, ports: Ports, runner: Option<usize>) -> Job {
        Job {
            kind,
            nodes,
            ports,
            granted: false,
            runner,
            releasing: false,
            answers: 0,
            asked: 0,
            replaces: None,
            excludes: false,
        }
    }
}

impl Player {
    pub(super) fn request(&mut self) {
        let most = self.settings.members.min(self.settings.nodes);
        let count = 1 + self.random.below(most);
        let mut nodes = Vec::new();
        while nodes.len() < count {
            let node = name(&format!("n{}", self.random.below(self.settings.nodes)));
            if !nodes.contains(&node) {
                nodes.push(node);
            }
        }
        let Ok(band) = PortRange::new(Protocol::Tcp, BAND.0, BAND.1) else {
            return;
        };
        let mut allocator = Allocator::new(band);
        // The map of a coordinator knows a part of what is taken.
        for job in self.jobs.values().filter(|_| !self.made.is_multiple_of(3)) {
            for range in job.ports.ranges() {
                allocator.exclude(*range);
            }
        }
        let ports = 1 + u16::try_from(self.random.below(4)).unwrap_or(0);
        if let Ok(range) = allocator.choose(ports, 1, self.random.next()) {
            let id = name(&format!("g{}", self.made));
            self.reserve(Kind::Grant, id, nodes, draft(range));
        }
    }

    pub(super) fn reserve(&mut self, kind: Kind, id: Name, nodes: Vec<Name>, draft: Record) {
        let rules = self.settings.rules;
        let mut job = Job::new(kind, nodes, draft.ports.clone(), None);
        job.asked = self.time;
        job.replaces = draft.replaces.clone();
        job.excludes = draft.mode == Mode::Exclude;
        let coordinator = Coordinator::reserve(kind, id.clone(), draft, &job.nodes, rules);
        let coordinator = coordinator.at_once(1 + self.random.below(60));
        job.runner = Some(self.world.coordinate(coordinator));
        self.jobs.insert(id, job);
    }

    /// Another range for a policy, most often one with ports in common.
    fn change(&mut self, old: &Name) {
        let Some(nodes) = self.jobs.get(old).map(|job| job.nodes.clone()) else {
            return;
        };
        self.made += 1;
        let number = |below: usize| u16::try_from(below).unwrap_or(0);
        let start = POLICIES + number(self.random.below(6));
        let count = 1 + number(self.random.below(8));
        if let Ok(range) = PortRange::with_count(Protocol::Tcp, start, count) {
            let mut draft = draft(range);
            draft.replaces = Some(old.clone());
            self.reserve(
                Kind::Policy,
                name(&format!("p0.{}", self.made)),
                nodes,
                draft,
            );
        }
    }

    /// An exclusion of ports that grants are chosen from.
    fn exclude(&mut self) {
        let nodes = (0..self.settings.nodes).map(|node| name(&format!("n{node}")));
        let nodes = nodes.collect();
        self.made += 1;
        if let Ok(range) = PortRange::with_count(Protocol::Tcp, BAND.0, 8) {
            let mut draft = draft(range);
            draft.mode = Mode::Exclude;
            self.reserve(Kind::Policy, name(&format!("x{}", self.made)), nodes, draft);
        }
    }

    /// What users and a steward do: hear answers, give back, finish what others began.
    pub(super) fn serve(&mut self) {
        let Some(id) = self.any_job() else {
            return;
        };
        self.hear(&id);
        let Some(job) = self.jobs.get(&id) else {
            return;
        };
        let policy = job.kind == Kind::Policy;
        let changes = policy && job.granted && !job.releasing && !job.excludes;
        if changes && self.settings.policies > 0 && self.random.one_in(40) {
            self.change(&id);
            return;
        }
        if policy && self.settings.nodes < 100 && self.random.one_in(400) {
            self.exclude();
            return;
        }
        let Some(job) = self.jobs.get(&id) else {
            return;
        };
        let goal = match (job.runner, job.granted) {
            (Some(runner), false)
                if self.random.one_in(200) && (!policy || job.replaces.is_some()) =>
            {
                self.world.tell(runner, Input::Deadline);
                return;
            }
            (_, true) if policy || !self.random.one_in(60) => return,
            (_, true) => Goal::Release,
            (None, false) if self.random.one_in(10) => Goal::Finish,
            (_, false) => return,
        };
        self.steward(&id, goal);
    }

    pub(super) fn steward(&mut self, id: &Name, goal: Goal) {
        let Some(job) = self.jobs.get_mut(id) else {
            return;
        };
        if let Some(runner) = job.runner.take() {
            self.world.stop(runner);
        }
        let coordinator = Coordinator::resume(job.kind, id.clone(), goal, self.settings.rules);
        job.runner = Some(self.world.coordinate(coordinator));
        job.answers = 0;
        if goal == Goal::Release {
            self.release_asked(id);
        }
    }

    fn release_asked(&mut self, id: &Name) {
        if let Some(job) = self.jobs.get_mut(id)
            && !job.releasing
        {
            job.releasing = true;
            let keeps_out = !job.excludes;
            // A change gives ports up as soon as it is decided; that it was, its user hears later.
            let changes = self.jobs.values();
            let changes = changes.filter(|job| job.replaces.as_ref() == Some(id));
            let since = changes.map(|job| job.asked).min();
            if keeps_out {
                self.note_since(since, What::ReleaseAsked(id.clone()));
            }
        }
    }

    /// Notes what clients see of a reservation. An exclusion keeps nobody out.
    fn note_of(&mut self, id: &Name, what: What) {
        if self.jobs.get(id).is_some_and(|job| !job.excludes) {
            self.note(what);
        }
    }

    pub(super) fn hear(&mut self, id: &Name) {
        let Some(job) = self.jobs.get_mut(id) else {
            return;
        };
        let Some(runner) = job.runner else {
            return;
        };
        let answers = self.world.answers(runner);
        let new = answers[job.answers.min(answers.len())..].to_vec();
        job.answers = answers.len();
        for answer in new {
            self.answered(id, answer);
        }
    }

    fn answered(&mut self, id: &Name, answer: Answer) {
        let Some(job) = self.jobs.get_mut(id) else {
            return;
        };
        let (ports, nodes) = (job.ports.clone(), job.nodes.clone());
        let id = id.clone();
        match answer {
            // Whoever had asked to release it before hears of it too late to use it.
            Answer::Committed if !job.granted && !job.releasing => {
                job.granted = true;
                self.played.committed += 1;
                if let Some(old) = job.replaces.clone() {
                    self.release_asked(&old);
                    self.steward(&old, Goal::Finish);
                }
                self.note_of(&id.clone(), What::Granted { id, ports, nodes });
            }
            Answer::Refused { .. } if !job.granted => {
                self.played.refused += 1;
                self.note_of(&id.clone(), What::Refused { id, ports, nodes });
            }
            Answer::Gone | Answer::Unknown | Answer::Taken => {
                if let Some(runner) = job.runner.take() {
                    self.world.stop(runner);
                }
                let known = job.granted;
                // After a wipe, the engine's word that it has nothing says nothing about the nodes.
                if known && self.world.is_gone(&id) {
                    self.release_asked(&id);
                    self.note_of(&id, What::Released(id.clone()));
                }
                if self.world.phase(&id).is_none() {
                    self.jobs.remove(&id);
                }
            }
            // The policy was changed by another: its change has what it had, and is heard of later.
            Answer::Ended if job.granted => self.release_asked(&id),
            _ => {}
        }
    }
}
