use std::collections::BTreeMap;

use portkeep::{PortRange, Protocol};

use super::machine::name;
use super::random::Random;
use super::violation::Violation;
use super::world::{Answered, World};
use crate::allocator::Allocator;
use crate::checker::{self, Event, What};
use crate::coordinator::{Answer, Coordinator, Goal, Input};
use crate::data::{Key, Kind, Members, Name, Ports, Record};
use crate::rules::Rules;

/// What to play.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// How many nodes.
    pub nodes: usize,
    /// Everything follows from it.
    pub seed: u64,
    /// How many requests for a reservation.
    pub requests: usize,
    /// A request is for this many nodes at most.
    pub members: usize,
    /// Policies on all nodes, at the start.
    pub policies: usize,
    /// One step in this many is a fault.
    pub one_fault_in: usize,
    /// All keys are lost in the middle.
    pub wipe: bool,
    /// Which rules hold.
    pub rules: Rules,
}

impl Settings {
    /// A few nodes that are much in each other's way.
    pub fn small(seed: u64) -> Settings {
        Settings {
            nodes: 6,
            seed,
            requests: 12,
            members: 4,
            policies: 1,
            one_fault_in: 12,
            wipe: false,
            rules: Rules::default(),
        }
    }
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Played {
    /// Effects that were carried out.
    pub operations: u64,
    /// Transactions and reads that the engine was asked for.
    pub requests_to_engine: u64,
    /// Reservations that were committed.
    pub committed: u64,
    /// Reservations that were refused.
    pub refused: u64,
    /// Faults.
    pub faults: u64,
    /// What must never be.
    pub violations: Vec<Violation>,
    /// What was left at the end, after all faults: keys, kernel reservations and notes, in words.
    pub left: Vec<String>,
    /// What clients saw.
    pub history: Vec<Event>,
    /// What the checker says of it. After all keys were lost, ports that stay closed are none of it.
    pub seen: Vec<checker::Violation>,
}

impl Played {
    /// Whether nothing is wrong.
    pub fn is_right(&self) -> bool {
        self.violations.is_empty() && self.left.is_empty() && self.seen.is_empty()
    }
}

#[derive(Clone, Debug)]
struct Job {
    kind: Kind,
    nodes: Vec<Name>,
    ports: Ports,
    granted: bool,
    runner: Option<usize>,
    releasing: bool,
    answers: usize,
}

impl Job {
    fn new(kind: Kind, nodes: Vec<Name>, ports: Ports, runner: Option<usize>) -> Job {
        Job {
            kind,
            nodes,
            ports,
            granted: false,
            runner,
            releasing: false,
            answers: 0,
        }
    }
}

struct Player {
    settings: Settings,
    random: Random,
    world: World,
    active: Vec<usize>,
    is_active: Vec<bool>,
    jobs: BTreeMap<Name, Job>,
    down: Vec<usize>,
    time: u64,
    made: usize,
    played: Played,
}

const BAND: (u16, u16) = (61000, 61031);

/// Plays, and then ends all faults and releases everything.
pub fn run(settings: Settings) -> Played {
    let mut player = Player::new(settings);
    player.begin();
    while player.made < settings.requests {
        player.turn();
        if settings.wipe && player.made == settings.requests / 2 {
            player.world.wipe();
            player.made += 1;
        }
    }
    for _ in 0..settings.requests * (40 + 2 * settings.members) {
        player.turn();
    }
    player.finish();
    let mut played = player.played;
    played.seen = checker::check(&played.history);
    let stays_closed = |seen: &checker::Violation| matches!(seen, checker::Violation::NotFreed(..));
    played
        .seen
        .retain(|seen| !(settings.wipe && stays_closed(seen)));
    played
}

impl Player {
    fn new(settings: Settings) -> Player {
        Player {
            settings,
            random: Random::new(settings.seed),
            world: World::new(settings.nodes, settings.rules),
            active: Vec::new(),
            is_active: Vec::new(),
            jobs: BTreeMap::new(),
            down: Vec::new(),
            time: 0,
            made: 0,
            played: Played::default(),
        }
    }

    fn begin(&mut self) {
        for machine in 0..self.settings.nodes {
            self.world.start_agent(machine, false);
        }
        for policy in 0..self.settings.policies {
            let ports = u16::try_from(20000 + 10 * policy).unwrap_or(20000);
            let range = PortRange::with_count(Protocol::Tcp, ports, 10);
            let Ok(range) = range else { continue };
            // The last node is not on the list: it comes later.
            let listed = self.settings.nodes.max(2) - 1;
            let nodes = (0..listed).map(|node| name(&format!("n{node}"))).collect();
            self.reserve(
                Kind::Policy,
                name(&format!("p{policy}")),
                nodes,
                range.into(),
            );
        }
        self.wake();
    }

    fn turn(&mut self) {
        self.time += 1;
        let busy = self
            .jobs
            .values()
            .filter(|job| job.kind == Kind::Grant)
            .count();
        if busy < 8 && self.random.one_in(40 + self.settings.members) || self.active.is_empty() {
            self.made += 1;
            self.request();
        }
        if self.random.one_in(self.settings.one_fault_in) {
            self.played.faults += 1;
            self.fault();
        }
        if self.random.one_in(30) {
            self.probe();
        }
        self.act(true);
        self.serve();
        self.wake();
    }

    fn request(&mut self) {
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
            self.reserve(Kind::Grant, id, nodes, range.into());
        }
    }

    fn reserve(&mut self, kind: Kind, id: Name, nodes: Vec<Name>, ports: Ports) {
        let draft = Record::preparing(ports.clone(), Members::Listed(Vec::new()));
        let rules = self.settings.rules;
        let coordinator = Coordinator::reserve(kind, id.clone(), draft, &nodes, rules);
        let coordinator = coordinator.at_once(1 + self.random.below(60));
        let runner = Some(self.world.coordinate(coordinator));
        self.jobs.insert(id, Job::new(kind, nodes, ports, runner));
    }

    fn act(&mut self, faults: bool) {
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

    fn wake(&mut self) {
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

    fn fault(&mut self) {
        let machine = self.random.below(self.settings.nodes);
        match self.random.below(9) {
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
            _ => self.world.strangers_leave(machine),
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

    fn any_job(&mut self) -> Option<Name> {
        let index = self.random.below(self.jobs.len());
        self.jobs.keys().nth(index).cloned()
    }

    fn probe(&mut self) {
        let machine = self.random.below(self.settings.nodes);
        let span = usize::from(BAND.1 - BAND.0) + 1;
        let port = BAND.0 + u16::try_from(self.random.below(span)).unwrap_or(0);
        self.bind(machine, port);
        // Most strangers do not stay.
        if !self.random.one_in(8) {
            self.world.strangers_leave(machine);
        }
    }

    fn bind(&mut self, machine: usize, port: u16) {
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

    fn note(&mut self, what: What) {
        self.time += 1;
        let (start, end) = (self.time, self.time);
        self.played.history.push(Event { start, end, what });
    }

    /// What users and a steward do: hear answers, give back, finish what others began.
    fn serve(&mut self) {
        let Some(id) = self.any_job() else {
            return;
        };
        self.hear(&id);
        let Some(job) = self.jobs.get(&id) else {
            return;
        };
        let policy = job.kind == Kind::Policy;
        let goal = match (job.runner, job.granted) {
            (Some(runner), false) if self.random.one_in(200) && !policy => {
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

    fn steward(&mut self, id: &Name, goal: Goal) {
        let Some(job) = self.jobs.get_mut(id) else {
            return;
        };
        if let Some(runner) = job.runner.take() {
            self.world.stop(runner);
        }
        let coordinator = Coordinator::resume(job.kind, id.clone(), goal, self.settings.rules);
        job.runner = Some(self.world.coordinate(coordinator));
        job.answers = 0;
        if goal == Goal::Release && !job.releasing {
            job.releasing = true;
            self.note(What::ReleaseAsked(id.clone()));
        }
    }

    fn hear(&mut self, id: &Name) {
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
                self.note(What::Granted { id, ports, nodes });
            }
            Answer::Refused { .. } if !job.granted => {
                self.played.refused += 1;
                self.note(What::Refused { id, ports, nodes });
            }
            Answer::Gone | Answer::Unknown | Answer::Taken => {
                if let Some(runner) = job.runner.take() {
                    self.world.stop(runner);
                }
                let (known, asked) = (job.granted, job.releasing);
                // After a wipe, the engine's word that it has nothing says nothing about the nodes.
                if known && asked && self.world.is_gone(&id) {
                    self.note(What::Released(id.clone()));
                }
                if self.world.phase(&id).is_none() {
                    self.jobs.remove(&id);
                }
            }
            _ => {}
        }
    }

    /// All faults end, everything is released, and nothing may be left.
    fn finish(&mut self) {
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
            for port in BAND.0..=BAND.1 {
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
        // A coordinator that dies before it makes the record leaves names, which are in nobody's way.
        let keys = self.world.engine.keys().filter(|key| {
            let names = matches!(key, Key::Members(id, _) if self.world.phase(id).is_none());
            key.id().is_some() && !names
        });
        let mut left: Vec<String> = keys.map(Key::to_string).collect();
        for machine in &self.world.machines {
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
