//! The fleet's figures, in T: the time of one transaction of etcd in the same run. `cargo bench -p portkeep-fleet`, as root.
//!
//! Eight machines are network namespaces with the real kernel part and agents of their own; up to a thousand more are
//! production state machines with their own connections to etcd and simulated kernels.

mod grants;
#[path = "../../tests/operators/nodes.rs"]
#[allow(dead_code, reason = "the tests use all of it")]
mod nodes;
mod peers;

use std::collections::BTreeMap;
use std::fs;
use std::future::Future;
use std::process::{Command, ExitCode};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use portkeep::PortRange;
use portkeep_fleet::config::Timing;
use portkeep_fleet::engine::Engine;
use portkeep_fleet::operator::ask::random_name;
use portkeep_fleet::operator::drive::{Patience, drive};
use portkeep_fleet::testing::{Etcd, Machine, Network, Options, probe};
use portkeep_fleet_core::coordinator::{Answer, Coordinator, Goal};
use portkeep_fleet_core::data::{Key, Kind, Members, Name, Record, Value};
use portkeep_fleet_core::engine::Transaction;
use portkeep_fleet_core::rules::Rules;
use portkeep_tests::Sandbox;

const MACHINES: usize = 8;
const PATIENCE: Patience = Patience {
    wait: Duration::from_secs(600),
    cleanup: Duration::from_secs(600),
};

fn main() -> ExitCode {
    probe::run_if_probe();
    portkeep_tests::benchmark(measure, Duration::from_secs(3000))
}

/// Runs a task to its end.
pub fn run<T>(body: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.expect("a runtime").block_on(body)
}

/// A line of the table.
pub fn report(what: &str, measured: &str, aim: &str) {
    println!("| {what} | {measured} | {aim} |");
}

fn measure(sandbox: &Sandbox) {
    // SAFETY: the process has one thread.
    unsafe { std::env::set_var("TMPDIR", sandbox.state_dir()) };
    let machines = sandbox.state_dir().join("machines");
    let options = Options {
        members: 3,
        // As in production: what etcd answers is on the disk, and quiet watches are quiet.
        arguments: vec![
            "--unsafe-no-fsync=false".to_owned(),
            "--experimental-watch-progress-notify-interval=10m".to_owned(),
        ],
        timing: Timing::default(),
        ..Options::default()
    };
    let mut network = Network::with(&machines, sandbox.cgroup(), options);
    // SAFETY: the process has one thread.
    unsafe {
        let socket = sandbox.state_dir().join("steward.sock");
        std::env::set_var("PORTKEEP_STEWARD_SOCKET", socket);
    }
    done(network.operator("root").args(["init", "--name=test"]));
    for number in 0..MACHINES {
        let node = format!("real-{number}");
        done(network.operator("root").args(["node", "add", &node]));
        network.add(&node);
        network.machines[number].start_agent(&network.etcd);
    }
    println!("| what | measured | aim |\n|---|---|---|");
    let real: Vec<Name> = network.machines.iter().map(|it| name(it.name())).collect();
    let steward = grants::Steward::start(network.operator("root"));
    let config = network.etcd.config("root");
    let engine = || Engine::new(config.clone());
    wait_for(&network, MACHINES);
    let count = |variable: &str, default: usize| {
        let value = std::env::var(variable).ok().and_then(|it| it.parse().ok());
        value.unwrap_or(default)
    };
    let rounds = count("PORTKEEP_FLEET_ROUNDS", 60);
    grants::measure(
        &network.etcd,
        rounds,
        &[
            ("1 node, real kernel", &real[..1], "3.5"),
            ("8 nodes, real kernels", &real, "4"),
        ],
    );
    for users in [8, 32] {
        grants::rate(&real, users);
    }
    let many = count("PORTKEEP_FLEET_NODES", 1000);
    if many == 0 {
        return;
    }
    rests(&network.machines[0]);
    peers::measure(&mut network);
    let mut simulated = start(&network.etcd, 0, 64);
    wait_for(&network, MACHINES + 64);
    let names: Vec<Name> = simulated.iter().map(|it| it.name.clone()).collect();
    let of_64: [(&str, &[Name], &str); 1] = [("64 nodes, simulated kernels", &names, "6")];
    grants::measure(&network.etcd, rounds / 2, &of_64);
    drop(steward);
    for from in (64..many).step_by(32) {
        let to = many.min(from + 32);
        simulated.extend(start(&network.etcd, from, to));
        wait_for(&network, MACHINES + to);
    }
    let names: Vec<Name> = simulated.iter().map(|it| it.name.clone()).collect();
    let took = policy(&engine(), &names);
    let what = format!("a policy on {many} simulated agents, decided");
    report(&what, &format!("{took:.1?}"), "10 s");
    for member in 0..3 {
        network.etcd.kill(member);
    }
    for member in 0..3 {
        network.etcd.restart(member);
    }
    let start = Instant::now();
    network.etcd.wait();
    let up = start.elapsed();
    policy(&Engine::new(network.etcd.config("root")), &names);
    let what = format!(
        "the same after all members of etcd were killed and started again, from their start ({up:.1?} until etcd answers)"
    );
    report(&what, &format!("{:.1?}", start.elapsed()), "30 s");
    // Their threads go with the process.
    std::mem::forget(simulated);
}

fn name(text: &str) -> Name {
    text.parse().expect("a name")
}

/// The middle one.
pub fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

/// Simulated nodes from one number to another, which are the user root of etcd.
fn start(etcd: &Etcd, from: usize, to: usize) -> Vec<nodes::Node> {
    let _ = etcd.config("root");
    let start = |number: usize| {
        let node = format!("sim-{number}");
        for end in ["pem", "key"] {
            let of = |name: &str| etcd.directory().join(format!("{name}.{end}"));
            fs::hard_link(of("root"), of(&node)).expect("a certificate");
        }
        let spec = portkeep_fleet_core::data::Spec::new(BTreeMap::new());
        let put = Transaction::default().put(Key::Spec(name(&node)), Value::Spec(spec));
        let machine = Arc::new(Mutex::new(nodes::Machine::default()));
        (node, put, machine)
    };
    let all: Vec<_> = (from..to).map(start).collect();
    let engine = Engine::new(etcd.config("root"));
    run(async {
        for (_, put, _) in &all {
            engine.transact(put).await.expect("a node");
        }
    });
    let nodes = all.into_iter();
    nodes
        .map(|(node, _, machine)| nodes::Node::start(etcd, &node, "simulated", machine))
        .collect()
}

fn policy(engine: &Engine, members: &[Name]) -> Duration {
    let id = random_name("policy.", 10).expect("a name");
    let range: PortRange = "10000-20000/udp".parse().expect("a range");
    let mut record = Record::preparing(range.into(), Members::Pieces(0));
    record.name = Some(name("policy"));
    record.except = (0..MACHINES)
        .map(|it| name(&format!("real-{it}")))
        .collect();
    let rules = Rules::default();
    run(async {
        let start = Instant::now();
        let coordinator = Coordinator::reserve(Kind::Policy, id.clone(), record, members, rules);
        let driven = drive(engine, coordinator, PATIENCE)
            .await
            .expect("an answer");
        assert_eq!(driven.answer, Answer::Committed);
        let took = start.elapsed();
        let coordinator = Coordinator::resume(Kind::Policy, id, Goal::Release, rules);
        drive(engine, coordinator, PATIENCE)
            .await
            .expect("an answer");
        took
    })
}

fn wait_for(network: &Network, count: usize) {
    let engine = Engine::new(network.etcd.config("root"));
    let over = Instant::now() + Duration::from_secs(600);
    run(async {
        loop {
            let listing = engine.list("n/").await.expect("a listing");
            let alive = listing
                .reads
                .iter()
                .filter(|it| matches!(it.key, Key::Alive(_)));
            if alive.count() >= count {
                return;
            }
            assert!(Instant::now() < over, "{count} agents are not there");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
}

/// An agent that has nothing to do.
fn rests(machine: &Machine) {
    let pid = machine.agent().expect("an agent");
    let read = |file: &str| fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
    let number = |text: &str, field: &str| -> u64 {
        let line = text.lines().find_map(|line| line.strip_prefix(field));
        let value = line.and_then(|it| it.split_whitespace().next()?.parse().ok());
        value.unwrap_or_default()
    };
    let switches = || {
        let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("tasks");
        let count = |task: fs::DirEntry| {
            let text = fs::read_to_string(task.path().join("status")).unwrap_or_default();
            (task.path(), number(&text, "voluntary_ctxt_switches:"))
        };
        tasks.flatten().map(count).collect::<BTreeMap<_, _>>()
    };
    // Threads that wait for work end.
    thread::sleep(Duration::from_secs(15));
    let (before, written) = (switches(), number(&read("io"), "write_bytes:"));
    thread::sleep(Duration::from_secs(30));
    let more = switches().into_iter().map(|(task, count)| {
        let before = before.get(&task).copied().unwrap_or_default();
        count - before
    });
    let wakeups = more.sum::<u64>() as f64 / 30.0;
    let written = number(&read("io"), "write_bytes:") - written;
    let private = number(&read("status"), "RssAnon:") / 1024;
    let all = number(&read("status"), "VmRSS:") / 1024;
    let memory = format!("{private} MB of its own, {all} MB with its program");
    report("memory of an agent at rest", &memory, "12 MB");
    let what = "its wake-ups a second";
    report(what, &format!("{wakeups:.1}"), "0.2");
    report(
        "what it writes to disk in 30 s",
        &format!("{written} bytes"),
        "0",
    );
}

fn done(command: &mut Command) {
    let output = command.output().expect("run a command");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {errors}");
}
