//! A fleet under faults: three members of etcd, agents on machines of their own with the real kernel part, commands
//! that reserve, change and end policies all the time, and jobs that acquire and release grants from a steward, while
//! members, agents, the steward and commands are killed and paused, links are cut, disks are full and etcd compacts. Strangers and owners bind all the time, and the checker
//! of `portkeep-fleet-core` judges what everybody saw.
//!
//!     cargo run -p portkeep-fleet --example faults -- SEED SECONDS [planted|lost|deleted|old]
//!
//! The seed chooses the operations and the faults; when they meet is up to the machine. With `planted`, root takes
//! a policy out by force on one node, and the checker has to find that. With `lost`, etcd loses all its data in the
//! end, with `deleted` all of the fleet's keys, and with `old` it is restored from a snapshot of half-time; and nothing
//! may open.

mod chaos;
mod end;
mod history;
mod jobs;
mod operations;
mod random;
mod steward;

use std::collections::BTreeMap;
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use portkeep_fleet::testing::{Network, Probe, probe};
use portkeep_fleet_core::checker::Violation;
use portkeep_tests::Sandbox;

use chaos::Chaos;
use history::Counts;
use jobs::Jobs;
use operations::Operator;
use random::Random;

/// Seed, seconds and how it ends.
const PLAN: &str = "PORTKEEP_FLEET_FAULTS";

/// The nodes.
const NODES: [(&str, &str); 5] = [
    ("n1", "rack=a"),
    ("n2", "rack=a"),
    ("n3", "rack=a"),
    ("n4", "rack=b"),
    ("n5", "rack=b"),
];

/// The ports that it is about. The machines choose automatic ports from twice as many.
const PORTS: (u16, u16) = (40000, 40255);
const AUTOMATIC: (u16, u16) = (40000, 40511);

/// Users that policies are for, and one that none is for.
const OWNERS: [u32; 2] = [4001, 4002];
const STRANGER: u32 = 65534;

/// How many operate at a time.
const OPERATORS: u64 = 3;

/// How many jobs there are at a time.
const JOBS: u64 = 16;

fn main() -> ExitCode {
    probe::run_if_probe();
    if std::env::var_os(PLAN).is_none() {
        let arguments: Vec<String> = std::env::args().skip(1).collect();
        let numbers = arguments.iter().take(2).map(|it| it.parse::<u64>());
        let (Ok(numbers), 2..=3) = (numbers.collect::<Result<Vec<_>, _>>(), arguments.len()) else {
            return usage();
        };
        let ending = match arguments.get(2).map(String::as_str) {
            None => 0,
            Some("planted") => PLANTED,
            Some("lost") => LOST,
            Some("deleted") => DELETED,
            Some("old") => OLD,
            Some(_) => return usage(),
        };
        let plan = format!("{} {} {ending}", numbers[0], numbers[1]);
        // SAFETY: the process has one thread.
        unsafe { std::env::set_var(PLAN, plan) };
    }
    let (_, length, _) = plan();
    portkeep_tests::benchmark(run, length + Duration::from_secs(900))
}

/// How a run ends that does not end in peace.
const PLANTED: u64 = 1;
const LOST: u64 = 2;
const DELETED: u64 = 3;
const OLD: u64 = 4;

fn usage() -> ExitCode {
    eprintln!("usage: faults SEED SECONDS [planted|lost|deleted|old]");
    ExitCode::from(2)
}

fn plan() -> (u64, Duration, u64) {
    let plan = std::env::var(PLAN).unwrap_or_default();
    let numbers: Vec<u64> = plan.split(' ').filter_map(|it| it.parse().ok()).collect();
    let &[seed, seconds, ending] = &numbers[..] else {
        panic!("{PLAN}: {plan}");
    };
    (seed, Duration::from_secs(seconds), ending)
}

fn run(sandbox: &Sandbox) {
    let (seed, length, ending) = plan();
    // SAFETY: the process has one thread.
    unsafe { std::env::set_var("TMPDIR", sandbox.state_dir()) };
    let machines = sandbox.state_dir().join("machines");
    // SAFETY: the process has one thread.
    unsafe {
        let socket = sandbox.state_dir().join("steward.sock");
        std::env::set_var("PORTKEEP_STEWARD_SOCKET", socket);
    }
    let mut network = Network::new(&machines, sandbox.cgroup(), 3, &[]);
    let band = format!("--band={}-{}", PORTS.0, PORTS.1);
    ok(network
        .operator("root")
        .args(["init", "--name=test", &band]));
    for (node, label) in NODES {
        ok(network
            .operator("root")
            .args(["node", "add", node, "--label", label]));
        add(&mut network, node);
    }
    end::wait_for_agents(&network);
    let probes: Vec<Probe> = network
        .machines
        .iter()
        .flat_map(|machine| {
            let stranger = Probe::start(machine, STRANGER, PORTS, true);
            let owners = OWNERS.map(|user| Probe::start(machine, user, PORTS, false));
            std::iter::once(stranger).chain(owners)
        })
        .collect();
    println!("seed {seed}: {} nodes, {length:?} of faults", NODES.len());
    let stop = Arc::new(AtomicBool::new(false));
    let operators = (0..OPERATORS).map(|number| {
        let random = Random::new(seed * 1000 + number);
        let operator = Operator::new(number, random, network.operator("root"), stop.clone());
        thread::spawn(move || operator.run())
    });
    let jobs = (0..JOBS).map(|number| {
        let jobs = Jobs::new(Random::new(seed * 1000 + 500 + number), stop.clone());
        thread::spawn(move || jobs.run())
    });
    let operators: Vec<_> = operators.chain(jobs).collect();
    let mut chaos = Chaos::new(Random::new(seed), &network);
    let over = Instant::now() + length;
    let mut save_at = (ending == OLD).then(|| Instant::now() + length / 2);
    while Instant::now() < over {
        if save_at.is_some_and(|at| Instant::now() > at) {
            save_at = None;
            network.etcd.save_all();
        }
        chaos.step(&mut network);
    }
    chaos.end(&mut network);
    stop.store(true, Ordering::Relaxed);
    let mut histories: Vec<_> = operators
        .into_iter()
        .map(|operator| operator.join().expect("an operator"))
        .collect();
    match ending {
        PLANTED => end::plant(&network, &histories),
        LOST => network.etcd.start_anew(),
        DELETED => chaos.delete_all(),
        OLD => network.etcd.load_all(),
        _ => {}
    }
    let forgets = [LOST, DELETED, OLD].contains(&ending);
    match forgets {
        // Whoever binds has some seconds, and nobody has asked for a release.
        true => thread::sleep(Duration::from_secs(15)),
        false => end::settle(&mut network, &mut histories),
    }
    let mut seen: Vec<_> = probes.into_iter().flat_map(Probe::end).collect();
    for machine in &mut network.machines {
        machine.kill_agent();
        if !forgets {
            seen.extend(Probe::sweep(machine, STRANGER, PORTS));
        }
    }
    let counts: Counts = history::counts(&histories, &seen);
    let mut violations = history::judge(histories, seen);
    if forgets {
        // What the engine does not know any more stays closed.
        violations.retain(|it| !matches!(it, Violation::NotFreed(..)));
    }
    println!("{}", chaos.said());
    println!("{counts}");
    for violation in violations.iter().take(40) {
        println!("violation: {violation:?}");
    }
    println!("{} violations", violations.len());
    counts.check();
    let found: BTreeMap<_, _> = violations
        .iter()
        .map(|it| (format!("{it:?}"), it))
        .collect();
    assert_eq!(!found.is_empty(), ending == PLANTED, "violations");
}

fn add(network: &mut Network, node: &str) {
    let machine = network.add(node);
    let (first, last) = AUTOMATIC;
    let range = format!("echo {first} {last} >/proc/sys/net/ipv4/ip_local_port_range");
    ok(machine.command("sh").args(["-c", &range]));
    let at = network.machines.len() - 1;
    network.machines[at].start_agent(&network.etcd);
}

/// Runs a command that has to succeed.
fn ok(command: &mut Command) -> String {
    let output = command.output().expect("run a command");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {errors}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}
