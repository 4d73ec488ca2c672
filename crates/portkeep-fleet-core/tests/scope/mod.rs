//! A small world as a model: what may happen next in each state.

use portkeep::PortRange;
use portkeep_fleet_core::coordinator::{Coordinator, Goal, Input};
use portkeep_fleet_core::data::{Kind, Members, Name, Phase, Record};
use portkeep_fleet_core::rules::Rules;
use portkeep_fleet_core::simulation::{Answered, Violation, World};
use stateright::{Checker as _, HasDiscoveries, Model, Property};

/// How large a world is, and how many faults it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scope {
    pub kind: Kind,
    pub nodes: usize,
    pub clones: usize,
    pub agent_crashes: u8,
    pub coordinator_crashes: u8,
    pub reboots: u8,
    pub old_lists: u8,
    pub wipes: u8,
    pub expiries: u8,
    pub lost: u8,
    pub silences: u8,
    pub removals: u8,
    pub sweeps: u8,
    pub compete: bool,
    /// The first one is a policy that is committed, and this many changes of it compete.
    pub changes: u8,
    /// They follow each other: the next one begins when the last one is committed.
    pub in_turn: bool,
    /// The agent of the last node is down from before the change on.
    pub down: bool,
    pub rules: Option<portkeep_fleet_core::rules::Rule>,
}

impl Scope {
    pub const GRANT: Scope = Scope {
        kind: Kind::Grant,
        nodes: 2,
        clones: 0,
        agent_crashes: 0,
        coordinator_crashes: 0,
        reboots: 0,
        old_lists: 0,
        wipes: 0,
        expiries: 0,
        lost: 0,
        silences: 0,
        removals: 0,
        sweeps: 0,
        compete: false,
        changes: 0,
        in_turn: false,
        down: false,
        rules: None,
    };

    /// One listed member, and a node that comes later.
    pub const POLICY: Scope = Scope {
        kind: Kind::Policy,
        ..Scope::GRANT
    };

    fn rules(&self) -> Rules {
        self.rules.map_or_else(Rules::default, Rules::without)
    }

    pub fn walk(&self, most: usize) -> Found {
        let discoveries = HasDiscoveries::AnyFailures;
        let checker = self.checker().threads(1).finish_when(discoveries);
        let checker = checker.target_state_count(most);
        let checker = checker.spawn_bfs().join();
        let mut found = Found {
            states: checker.unique_state_count(),
            depth: checker.max_depth(),
            complete: checker.state_count() < most,
            committed: false,
            ended: false,
            violation: None,
            path: Vec::new(),
        };
        for (name, path) in checker.discoveries() {
            match name {
                "it commits" => found.committed = true,
                "it ends" => found.ended = true,
                _ => {
                    found.violation = path.last_state().world.violations().next().cloned();
                    found.path = path.into_actions();
                }
            }
        }
        found
    }
}

#[derive(Debug)]
pub struct Found {
    pub states: usize,
    pub depth: usize,
    pub complete: bool,
    pub committed: bool,
    pub ended: bool,
    pub violation: Option<Violation>,
    pub path: Vec<Action>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    pub world: World,
    left: Left,
    released: bool,
}

/// How many of each fault are left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Left {
    agent_crashes: u8,
    coordinator_crashes: u8,
    reboots: u8,
    old_lists: u8,
    wipes: u8,
    expiries: u8,
    lost: u8,
    silences: u8,
    removals: u8,
    sweeps: u8,
    deadlines: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    Agent(usize, usize),
    AgentHears(usize),
    AgentStarts(usize),
    AgentDies(usize),
    AgentStartsWithOldList(usize),
    AnswerLost(usize, usize),
    NotSent(usize, usize),
    Reboots(usize),
    VoteLands(usize),
    Silence(usize),
    Expires(usize),
    Coordinator(usize),
    CoordinatorHears(usize),
    CoordinatorDies(usize),
    CoordinatorAnswerLost(usize),
    Deadline,
    Release,
    Removed(usize),
    SweeperLooks,
    SweeperDeletes,
    Wipe,
}

fn name(text: &str) -> Name {
    text.parse().expect("a name")
}

fn first() -> Name {
    name("r0")
}

impl Scope {
    fn reserve(&self, id: &str, ports: &str, replaces: Option<Name>) -> Coordinator {
        let listed = match self.kind {
            Kind::Grant => self.nodes,
            Kind::Policy => self.nodes - 1,
        };
        let nodes: Vec<Name> = (0..listed).map(|node| name(&format!("n{node}"))).collect();
        let ports: PortRange = ports.parse().expect("a range");
        let mut draft = Record::preparing(ports.into(), Members::Listed(Vec::new()));
        draft.replaces = replaces;
        // One member a transaction, so that there are several pieces.
        Coordinator::reserve(self.kind, name(id), draft, &nodes, self.rules()).at_once(1)
    }

    /// Everybody acts, without a fault, until there is nothing to do.
    fn play(&self, world: &mut World) {
        loop {
            let lagging = (0..self.nodes).find(|node| world.machines[*node].lags());
            let acting = (0..self.nodes).find(|node| !world.machines[*node].pending().is_empty());
            let (_, pending, lags) = world.coordinator(0);
            match (lagging, acting) {
                (Some(node), _) => world.watch_agent(node),
                (_, Some(node)) => world.agent_step(node, 0, Answered::Yes),
                _ if pending => world.coordinate_step(0, Answered::Yes),
                _ if lags => world.watch_coordinator(0),
                _ => return,
            }
        }
    }
}

impl Model for Scope {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let mut world = World::new(self.nodes, self.rules());
        (0..self.clones).for_each(|_| world.clone_of(0));
        for machine in 0..self.nodes {
            world.start_agent(machine, false);
            // They act for their nodes from the beginning.
            world.agent_step(machine, 0, Answered::Yes);
            world.watch_agent(machine);
        }
        world.coordinate(self.reserve("r0", "61000/tcp", None));
        if self.compete {
            world.coordinate(self.reserve("r1", "61000/tcp", None));
        }
        if self.changes > 0 {
            self.play(&mut world);
            world.stop(0);
            if self.down {
                world.kill_agent(self.nodes - 1);
            }
            let mut old = first();
            for (id, ports) in [("r1", "61000-61001/tcp"), ("r2", "60999-61000/tcp")]
                .iter()
                .take(self.changes.into())
            {
                if self.in_turn && *id == "r2" {
                    self.play(&mut world);
                    world.stop(0);
                    old = name("r1");
                }
                world.coordinate(self.reserve(id, ports, Some(old.clone())));
            }
        }
        world.settled();
        let left = Left {
            agent_crashes: self.agent_crashes,
            coordinator_crashes: self.coordinator_crashes,
            reboots: self.reboots,
            old_lists: self.old_lists,
            wipes: self.wipes,
            expiries: self.expiries,
            lost: self.lost,
            silences: self.silences,
            removals: self.removals,
            sweeps: self.sweeps,
            deadlines: 1,
        };
        let released = false;
        vec![State {
            world,
            left,
            released,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        let (world, left) = (&state.world, &state.left);
        for (index, machine) in world.machines.iter().enumerate() {
            for effect in 0..machine.pending().len() {
                actions.push(Action::Agent(index, effect));
                if left.lost > 0 {
                    actions.push(Action::AnswerLost(index, effect));
                    actions.push(Action::NotSent(index, effect));
                }
            }
            if machine.lags() {
                actions.push(Action::AgentHears(index));
            }
            if left.removals > 0 && !machine.runs() {
                actions.push(Action::Removed(index));
            }
            if !machine.runs() && !machine.is_removed() {
                actions.push(Action::AgentStarts(index));
                if left.old_lists > 0 {
                    actions.push(Action::AgentStartsWithOldList(index));
                }
            } else if machine.runs() && left.agent_crashes > 0 {
                actions.push(Action::AgentDies(index));
            }
            if machine.has_vote_under_way() {
                actions.push(Action::VoteLands(index));
            }
            if left.reboots > 0 {
                actions.push(Action::Reboots(index));
            }
            if left.silences > 0 {
                actions.push(Action::Silence(index));
            }
        }
        for index in 0..4 {
            let (runs, pending, lags) = world.coordinator(index);
            if pending {
                actions.push(Action::Coordinator(index));
                if left.lost > 0 {
                    actions.push(Action::CoordinatorAnswerLost(index));
                }
            }
            if lags {
                actions.push(Action::CoordinatorHears(index));
            }
            if runs && left.coordinator_crashes > 0 {
                actions.push(Action::CoordinatorDies(index));
            }
        }
        if left.deadlines > 0 && world.coordinator(0).0 {
            actions.push(Action::Deadline);
        }
        if !state.released && world.phase(&first()).is_some() {
            actions.push(Action::Release);
        }
        if left.sweeps > 0 {
            actions.push(Action::SweeperLooks);
        }
        if world.sweeps() {
            actions.push(Action::SweeperDeletes);
        }
        if left.wipes > 0 {
            actions.push(Action::Wipe);
        }
        if left.expiries > 0 {
            actions.push(Action::Expires(0));
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        let (world, left) = (&mut state.world, &mut state.left);
        match action {
            Action::Agent(machine, effect) => world.agent_step(machine, effect, Answered::Yes),
            Action::AgentHears(machine) => world.watch_agent(machine),
            Action::AgentStarts(machine) => world.start_agent(machine, false),
            Action::AgentStartsWithOldList(machine) => {
                left.old_lists -= 1;
                world.start_agent(machine, true);
            }
            Action::AgentDies(machine) => {
                left.agent_crashes -= 1;
                world.kill_agent(machine);
            }
            Action::AnswerLost(machine, effect) => {
                left.lost -= 1;
                world.agent_step(machine, effect, Answered::Lost);
            }
            Action::NotSent(machine, effect) => {
                left.lost -= 1;
                world.agent_step(machine, effect, Answered::NotSent);
            }
            Action::Reboots(machine) => {
                left.reboots -= 1;
                world.reboot(machine);
            }
            Action::VoteLands(machine) => world.land(machine),
            Action::Silence(machine) => {
                left.silences -= 1;
                world.silence(machine);
            }
            Action::Expires(node) => {
                left.expiries -= 1;
                world.expire(node);
            }
            Action::Coordinator(index) => world.coordinate_step(index, Answered::Yes),
            Action::CoordinatorAnswerLost(index) => {
                left.lost -= 1;
                world.coordinate_step(index, Answered::Lost);
            }
            Action::CoordinatorHears(index) => world.watch_coordinator(index),
            Action::CoordinatorDies(index) => {
                left.coordinator_crashes -= 1;
                world.stop(index);
                state.released = false;
            }
            Action::Deadline => {
                left.deadlines -= 1;
                world.tell(0, Input::Deadline);
            }
            Action::Release => {
                state.released = true;
                let resumed = Coordinator::resume(self.kind, first(), Goal::Release, self.rules());
                world.coordinate(resumed.at_once(1));
            }
            Action::Removed(machine) => {
                left.removals -= 1;
                world.remove_node(machine);
            }
            Action::SweeperLooks => {
                left.sweeps -= 1;
                world.sweeper_looks();
            }
            Action::SweeperDeletes => world.sweeper_deletes(),
            Action::Wipe => {
                left.wipes -= 1;
                world.wipe();
            }
        }
        state.world.settled();
        (state != *last).then_some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("no violation", |_, state: &State| {
                state.world.violations().next().is_none()
            }),
            Property::sometimes("it commits", |_, state: &State| {
                state.world.phase(&first()) == Some(Phase::Committed)
            }),
            Property::sometimes("it ends", |_, state: &State| {
                let kept = |machine: &portkeep_fleet_core::simulation::Machine| {
                    machine.kernel().contains_key(&first()) && !machine.is_removed()
                };
                state.world.is_gone(&first()) && !state.world.machines.iter().any(kept)
            }),
        ]
    }
}
