use std::collections::{BTreeMap, BTreeSet};

use portkeep::{PortRange, Protocol};

mod end;
mod faults;
mod turns;
mod users;

use super::machine::name;
use super::random::Random;
use super::violation::Violation;
use super::world::World;
use crate::checker::{self, Event, What};
use crate::data::{Kind, Members, Name, Record};
use crate::rules::Rules;
use users::Job;

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
    /// What the checker says of it. After all keys were lost, and on a node that was removed, ports that stay closed
    /// are none of it.
    pub seen: Vec<checker::Violation>,
}

impl Played {
    /// Whether nothing is wrong.
    pub fn is_right(&self) -> bool {
        self.violations.is_empty() && self.left.is_empty() && self.seen.is_empty()
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
/// Where policies are, behind the band.
const POLICIES: u16 = 61032;
const LAST: u16 = 61047;

fn draft(range: PortRange) -> Record {
    Record::preparing(range.into(), Members::Listed(Vec::new()))
}

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
    let machines = player.world.machines.iter();
    let removed: BTreeSet<Name> = machines
        .filter(|machine| machine.is_removed())
        .map(|machine| machine.identity.node.clone())
        .collect();
    let mut played = player.played;
    played.seen = checker::check(&played.history);
    // A node that was removed keeps its ports closed on purpose.
    let on_purpose = |node: &Name| settings.wipe || removed.contains(node);
    let wrong = |seen: &checker::Violation| match seen {
        checker::Violation::NotFreed(node, _) => !on_purpose(node),
        _ => true,
    };
    played.seen.retain(wrong);
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
            let ports = POLICIES + u16::try_from(10 * policy).unwrap_or(0);
            let range = PortRange::with_count(Protocol::Tcp, ports, 10);
            let Ok(range) = range else { continue };
            // The last node is not on the list: it comes later.
            let listed = self.settings.nodes.max(2) - 1;
            let nodes = (0..listed).map(|node| name(&format!("n{node}"))).collect();
            self.reserve(
                Kind::Policy,
                name(&format!("p{policy}")),
                nodes,
                draft(range),
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

    fn note(&mut self, what: What) {
        self.note_since(None, what);
    }

    /// Notes what has happened between then and now.
    fn note_since(&mut self, start: Option<u64>, what: What) {
        self.time += 1;
        let (start, end) = (start.unwrap_or(self.time), self.time);
        self.played.history.push(Event { start, end, what });
    }
}
