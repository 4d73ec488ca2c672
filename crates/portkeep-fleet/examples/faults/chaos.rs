//! The faults.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use portkeep_fleet::engine::Engine;
use portkeep_fleet::testing::Network;
use portkeep_fleet_core::engine::Revision;
use portkeep_fleet_core::points::Point;

use crate::random::Random;
use crate::steward::Steward;

/// What ends a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Undo {
    StartAgent(usize),
    ResumeAgent(usize),
    StartMember(usize),
    ResumeMember(usize),
    Heal(usize),
    HealPeers,
    EmptyDisk(usize),
    StartSteward,
    ResumeSteward,
}

pub struct Chaos {
    pub steward: Steward,
    random: Random,
    undo: Vec<(Instant, Undo)>,
    counts: BTreeMap<&'static str, u32>,
    engine: Engine,
    runtime: tokio::runtime::Runtime,
    compacted: Instant,
}

impl Chaos {
    pub fn new(random: Random, network: &Network) -> Chaos {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let mut steward = Steward::default();
        steward.start(network, None);
        Chaos {
            steward,
            random,
            undo: Vec::new(),
            counts: BTreeMap::new(),
            engine: Engine::new(network.etcd.config("root")),
            runtime: runtime.expect("a runtime"),
            compacted: Instant::now(),
        }
    }

    /// One more fault, unless it is already there, and the end of those whose time has come.
    pub fn step(&mut self, network: &mut Network) {
        thread::sleep(Duration::from_millis(100 + self.random.below(700)));
        let now = Instant::now();
        let (due, later) = self.undo.drain(..).partition(|(at, _)| *at <= now);
        self.undo = later;
        let due: Vec<(Instant, Undo)> = due;
        for (_, undo) in due {
            self.undo(network, undo);
        }
        for at in 0..network.machines.len() {
            if network.machines[at].is_agent_dead() {
                self.later(200, 1500, Undo::StartAgent(at));
            }
        }
        if self.steward.is_dead() {
            self.later(100, 1000, Undo::StartSteward);
        }
        if self.compacted.elapsed() > Duration::from_secs(1) {
            self.compact();
        }
        self.fault(network);
    }

    fn later(&mut self, least: u64, more: u64, undo: Undo) {
        if !self.is_under(undo) {
            let time = Duration::from_millis(least + self.random.below(more));
            self.undo.push((Instant::now() + time, undo));
        }
    }

    fn is_under(&self, undo: Undo) -> bool {
        self.undo.iter().any(|(_, it)| *it == undo)
    }

    fn fault(&mut self, network: &mut Network) {
        let at = usize::try_from(self.random.below(network.machines.len() as u64)).unwrap_or(0);
        let member = usize::try_from(self.random.below(3)).unwrap_or(0);
        let agent = [Undo::StartAgent(at), Undo::ResumeAgent(at)];
        let members_down = self
            .undo
            .iter()
            .filter(|(_, it)| matches!(it, Undo::StartMember(_) | Undo::ResumeMember(_)));
        // One member at a time, mostly; now and then two, and etcd has no quorum.
        let one_more = members_down.count() == 0 || self.random.below(6) == 0;
        let of_member = [Undo::StartMember(member), Undo::ResumeMember(member)];
        let under: Vec<Undo> = self.undo.iter().map(|(_, it)| *it).collect();
        let free = |all: &[Undo]| !all.iter().any(|it| under.contains(it));
        let machine = &mut network.machines[at];
        let steward = [Undo::StartSteward, Undo::ResumeSteward];
        let name = match self.random.below(17) {
            0 | 1 if free(&agent) => {
                machine.kill_agent();
                self.later(0, 2000, Undo::StartAgent(at));
                "agent killed"
            }
            2..=4 if free(&agent) => {
                let wish = self.point_of("agent.");
                machine.start_agent_with(&network.etcd, &[("PORTKEEP_FLEET_DIE", &wish)]);
                "agent to die at a point"
            }
            5 if free(&agent) => {
                machine.pause_agent(true);
                self.later(500, 7000, Undo::ResumeAgent(at));
                "agent paused"
            }
            6 if one_more && free(&of_member) => {
                network.etcd.kill(member);
                self.later(200, 4000, Undo::StartMember(member));
                "member killed"
            }
            7 if one_more && free(&of_member) => {
                network.etcd.pause(member);
                self.later(500, 6000, Undo::ResumeMember(member));
                "member paused"
            }
            8 if free(&[Undo::Heal(at)]) => {
                machine.cut_off();
                self.later(500, 7000, Undo::Heal(at));
                "node cut off"
            }
            9 if free(&[Undo::Heal(at)]) => {
                machine.drop_packets("", "ip saddr 10.77.0.1");
                self.later(500, 7000, Undo::Heal(at));
                "answers to a node dropped"
            }
            10 if free(&[Undo::Heal(at)]) => {
                let port = 2379 + 10 * member;
                machine.drop_packets(&format!("tcp dport {port}"), "");
                self.later(500, 7000, Undo::Heal(at));
                "node cut off from one member"
            }
            11 if free(&[Undo::HealPeers]) => {
                cut_peer(2380 + 10 * member);
                self.later(500, 5000, Undo::HealPeers);
                "member cut off from its peers, one way"
            }
            12 if free(&[Undo::EmptyDisk(at)]) => {
                machine.fill_disk();
                self.later(500, 4000, Undo::EmptyDisk(at));
                "disk of a store full"
            }
            13 if free(&steward) => {
                self.steward.kill();
                self.later(0, 2000, Undo::StartSteward);
                "steward killed"
            }
            14 if free(&steward) => {
                let wish = self.point_of("coordinator.");
                self.steward.start(network, Some(&wish));
                "steward to die at a point"
            }
            15 if free(&steward) => {
                self.steward.signal(Signal::SIGSTOP);
                self.later(500, 15_000, Undo::ResumeSteward);
                "steward paused"
            }
            _ => return,
        };
        *self.counts.entry(name).or_default() += 1;
    }

    /// A point of agents or of coordinators to die at.
    fn point_of(&mut self, prefix: &str) -> String {
        let points = Point::ALL.iter();
        let points: Vec<_> = points.filter(|it| it.name().starts_with(prefix)).collect();
        let point = *self.random.one_of(&points);
        let when = self.random.one_of(&["before", "after"]);
        format!("{point}:{when}")
    }

    fn undo(&mut self, network: &mut Network, undo: Undo) {
        match undo {
            Undo::StartAgent(at) => network.machines[at].start_agent(&network.etcd),
            Undo::ResumeAgent(at) => network.machines[at].pause_agent(false),
            Undo::StartMember(member) => network.etcd.restart(member),
            Undo::ResumeMember(member) => network.etcd.resume(member),
            Undo::Heal(at) => network.machines[at].heal(),
            Undo::HealPeers => heal_peers(),
            Undo::EmptyDisk(at) => network.machines[at].empty_disk(),
            Undo::StartSteward => self.steward.start(network, None),
            Undo::ResumeSteward => self.steward.signal(Signal::SIGCONT),
        }
    }

    /// Makes etcd forget its past, but for the last moment.
    fn compact(&mut self) {
        self.compacted = Instant::now();
        let engine = &self.engine;
        let _ = self.runtime.block_on(async {
            let _ = engine.list("config").await;
            let revision = u64::try_from(engine.revision()).unwrap_or(0);
            engine.compact(Revision(revision)).await
        });
        *self.counts.entry("compaction").or_default() += 1;
    }

    /// An operator's mistake.
    pub fn delete_all(&self) {
        let deleted = self.runtime.block_on(self.engine.delete_all());
        deleted.expect("delete all keys");
    }

    /// Ends all of them.
    pub fn end(&mut self, network: &mut Network) {
        for (_, undo) in std::mem::take(&mut self.undo) {
            self.undo(network, undo);
        }
        network.etcd.wait();
        for at in 0..network.machines.len() {
            let machine = &mut network.machines[at];
            machine.heal();
            machine.empty_disk();
            machine.start_agent(&network.etcd);
        }
        self.steward.start(network, None);
    }

    /// What there was.
    pub fn said(&self) -> String {
        let counts = self.counts.iter();
        let counts: Vec<String> = counts
            .map(|(name, times)| format!("{times} × {name}"))
            .collect();
        counts.join(", ")
    }
}

fn cut_peer(port: usize) {
    let rule = format!("tcp dport {port} drop");
    let chain = format!("chain output {{ type filter hook output priority 0; {rule}; }}\n");
    crate::ok(Command::new("nft").arg(format!("table inet peers {{ {chain} }}")));
}

fn heal_peers() {
    let mut command = Command::new("nft");
    let _ = command
        .args(["delete", "table", "inet", "peers"])
        .stderr(Stdio::null())
        .status();
}
