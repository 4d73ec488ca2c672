//! The fleet's figures, in T: the time of one transaction of etcd in the same run. `cargo bench -p portkeep-fleet`, as root.
//!
//! Eight machines are network namespaces with the real kernel part and agents of their own; up to a thousand more are
//! production state machines with their own connections to etcd and simulated kernels.

#[path = "../../tests/operators/nodes.rs"]
#[allow(dead_code, reason = "the tests use all of it")]
mod nodes;
mod peers;

use std::fs;
use std::future::Future;
use std::process::{Command, ExitCode};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use portkeep::PortRange;
use portkeep_fleet::engine::Engine;
use portkeep_fleet::operator::ask::random_name;
use portkeep_fleet::operator::drive::{Patience, drive};
use portkeep_fleet::testing::{Etcd, Machine, Network, probe};
use portkeep_fleet_core::coordinator::{Answer, Coordinator, Goal};
use portkeep_fleet_core::data::{FORMAT, Hold, Key, Kind, Members, Name, Record, Unknown, Value};
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

fn report(what: &str, measured: &str, aim: &str) {
    println!("| {what} | {measured} | {aim} |");
}

fn measure(sandbox: &Sandbox) {
    // SAFETY: the process has one thread.
    unsafe { std::env::set_var("TMPDIR", sandbox.state_dir()) };
    let machines = sandbox.state_dir().join("machines");
    let mut network = Network::new(&machines, sandbox.cgroup(), 3, &[]);
    done(network.operator("root").args(["init", "--name=test"]));
    for number in 0..MACHINES {
        let node = format!("real-{number}");
        done(network.operator("root").args(["node", "add", &node]));
        network.add(&node);
        network.machines[number].start_agent(&network.etcd);
    }
    println!("| what | measured | aim |\n|---|---|---|");
    let real: Vec<Name> = network.machines.iter().map(|it| name(it.name())).collect();
    let config = network.etcd.config("root");
    let engine = || Engine::new(config.clone());
    wait_for(&network, MACHINES);
    rests(&network.machines[0]);
    let t = transaction(&engine());
    report(
        "T, one transaction of 3 members, median",
        &format!("{t:.1?}"),
        "",
    );
    grants(&engine(), t, &real[..1], "1 node, real kernel", "3.5 T");
    grants(&engine(), t, &real, "8 nodes, real kernels", "4 T");
    rate(&network.etcd, &real);
    peers::measure(&mut network);
    let count = |variable: &str, default: usize| {
        let value = std::env::var(variable).ok().and_then(|it| it.parse().ok());
        value.unwrap_or(default)
    };
    let many = count("PORTKEEP_FLEET_NODES", 1000);
    let mut simulated = start(&network.etcd, 0, 64);
    wait_for(&network, MACHINES + 64);
    let names: Vec<Name> = simulated.iter().map(|it| it.name.clone()).collect();
    grants(&engine(), t, &names, "64 nodes, simulated kernels", "6 T");
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

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

/// One transaction, as a grant has them.
fn transaction(engine: &Engine) -> Duration {
    let key = Key::Hold(name("bench"));
    let value = Value::Hold(Hold {
        format: FORMAT,
        by: String::new(),
        unknown: Unknown::new(),
    });
    let transaction = Transaction::default().put(key, value);
    run(async {
        let mut times = Vec::new();
        for _ in 0..200 {
            let start = Instant::now();
            engine.transact(&transaction).await.expect("a transaction");
            times.push(start.elapsed());
        }
        median(times)
    })
}

/// One grant, until it is committed, and its release.
async fn grant(engine: &Engine, members: &[Name], port: u16) -> (Duration, Duration) {
    let id = random_name("g", 12).expect("a name");
    let range: PortRange = format!("{port}-{}/tcp", port + 1).parse().expect("a range");
    let record = Record::preparing(range.into(), Members::Listed(Vec::new()));
    let rules = Rules::default();
    let start = Instant::now();
    let coordinator = Coordinator::reserve(Kind::Grant, id.clone(), record, members, rules);
    let driven = drive(engine, coordinator, PATIENCE)
        .await
        .expect("an answer");
    assert_eq!(driven.answer, Answer::Committed);
    let granted = start.elapsed();
    let coordinator = Coordinator::resume(Kind::Grant, id, Goal::Release, rules);
    drive(engine, coordinator, PATIENCE)
        .await
        .expect("an answer");
    (granted, start.elapsed())
}

fn grants(engine: &Engine, t: Duration, members: &[Name], what: &str, aim: &str) {
    let times = run(async {
        let mut times = Vec::new();
        for _ in 0..30 {
            times.push(grant(engine, members, 62000).await);
        }
        times
    });
    let granted = median(times.iter().map(|(granted, _)| *granted).collect());
    let both = median(times.iter().map(|(_, both)| *both).collect());
    let in_t = granted.as_secs_f64() / t.as_secs_f64();
    let measured = format!("{in_t:.1} T ({granted:.1?})");
    report(&format!("grant on {what}, median of 30"), &measured, aim);
    let measured = format!("{:.1} T", both.as_secs_f64() / t.as_secs_f64());
    report("… and released on all of them", &measured, "");
}

/// Grants a second, with eight drivers.
fn rate(etcd: &Etcd, members: &[Name]) {
    let over = Instant::now() + Duration::from_secs(6);
    let drivers = (0..8).map(|number: u16| {
        let (config, members) = (etcd.config("root"), members.to_vec());
        thread::spawn(move || {
            run(async {
                let engine = Engine::new(config);
                let mut count = 0_u32;
                while Instant::now() < over {
                    grant(&engine, &members, 63000 + 2 * number).await;
                    count += 1;
                }
                count
            })
        })
    });
    let drivers: Vec<_> = drivers.collect();
    let all = drivers.into_iter().map(|it| it.join().expect("a driver"));
    let per_second = f64::from(all.sum::<u32>()) / 6.0;
    let what = "grants a second on 8 nodes with real kernels, each released, 8 drivers";
    report(what, &format!("{per_second:.0}"), "100");
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
        let spec = portkeep_fleet_core::data::Spec::new(std::collections::BTreeMap::new());
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
            number(&text, "voluntary_ctxt_switches:")
        };
        tasks.flatten().map(count).sum::<u64>()
    };
    thread::sleep(Duration::from_secs(3));
    let (before, written) = (switches(), number(&read("io"), "write_bytes:"));
    thread::sleep(Duration::from_secs(30));
    let wakeups = (switches() - before) as f64 / 30.0;
    let written = number(&read("io"), "write_bytes:") - written;
    let private = number(&read("status"), "RssAnon:") / 1024;
    let all = number(&read("status"), "VmRSS:") / 1024;
    let memory = format!("{private} MB of its own, {all} MB with its program");
    report(
        "memory of an agent at rest (built without optimization)",
        &memory,
        "12 MB",
    );
    let what = "its wake-ups a second, with leases of 5 s and watch progress each second";
    report(what, &format!("{wakeups:.1}"), "0.2, with leases of 30 s");
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
