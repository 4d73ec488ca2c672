//! After the faults: everything is released, and nothing may be left.

use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use portkeep_fleet::testing::Network;
use portkeep_fleet::testing::probe::now;
use portkeep_fleet_core::checker::What;
use serde_json::Value;

use crate::history::History;
use crate::{NODES, ok};

const PATIENCE: Duration = Duration::from_secs(240);

/// What a command says in JSON, whatever its exit status.
fn document(command: &mut Command) -> Value {
    let output = command.output().expect("run a command");
    serde_json::from_slice(&output.stdout).unwrap_or_default()
}

fn wait(what: &str, mut is_so: impl FnMut() -> bool) {
    let over = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < over, "{what}: not within {PATIENCE:?}");
        thread::sleep(Duration::from_millis(200));
    }
}

pub fn wait_for_agents(network: &Network) {
    wait("all agents are connected", || {
        let listed = document(network.operator("root").args(["node", "ls", "--json"]));
        let nodes = listed["nodes"].as_array().cloned().unwrap_or_default();
        nodes.iter().filter(|it| it["connected"] == true).count() == NODES.len()
    });
}

/// Ends what is there, and waits until neither etcd nor a kernel has anything of it.
pub fn settle(network: &mut Network, histories: &mut [History]) {
    wait_for_agents(network);
    for history in &mut *histories {
        history.ask_all(now());
    }
    let mut last = String::new();
    let over = Instant::now() + PATIENCE;
    loop {
        let _ = network
            .operator("root")
            .args(["repair", "--all", "--wait=5", "--json"])
            .output();
        let status = document(network.operator("root").args(["status", "--json"]));
        let policies = status["policies"].as_array().cloned();
        let reserved: Vec<String> = network.machines.iter().map(reserved).collect();
        let nothing =
            policies.as_ref().is_some_and(Vec::is_empty) && reserved.iter().all(String::is_empty);
        if nothing {
            break;
        }
        for policy in policies
            .iter()
            .flatten()
            .filter(|it| it["phase"] != "ending")
        {
            let id = policy["id"].as_str().unwrap_or_default();
            let _ = network
                .operator("root")
                .args(["unreserve", id, "--wait=5", "--json"])
                .output();
        }
        last.clone_from(&format!("{status:#}\n{}", reserved.join("\n")));
        if Instant::now() > over {
            for machine in &network.machines {
                let log = std::fs::read_to_string(machine.log()).unwrap_or_default();
                let tail: Vec<&str> = log.lines().rev().take(12).collect();
                println!("{}:\n{}", machine.name(), tail.join("\n"));
            }
            panic!("something is left:\n{last}");
        }
    }
    for history in histories {
        history.release_all(now());
    }
}

/// What the kernel and the store of a machine have, one a line.
fn reserved(machine: &portkeep_fleet::testing::Machine) -> String {
    let listed = document(machine.command("portkeep").args(["ls", "--json"]));
    let entries = listed["reservations"].as_array().cloned();
    let Some(entries) = entries else {
        return format!("{}: {listed}", machine.name());
    };
    let lines = entries.iter();
    let lines = lines.map(|it| format!("{}: {} {}", machine.name(), it["ports"], it["fleet"]));
    lines.collect::<Vec<_>>().join("\n")
}

/// Takes a committed policy out by force on one of its nodes, and lets strangers bind there for a while.
pub fn plant(network: &Network, histories: &[History]) {
    let events = || histories.iter().flat_map(|it| &it.events);
    let asked = |id| events().any(|it| matches!(&it.what, What::ReleaseAsked(of) if of == id));
    let held = events().find_map(|it| match &it.what {
        What::Granted { id, ports, nodes } if !asked(id) => Some((ports, &nodes[0])),
        _ => None,
    });
    let (ports, node) = held.expect("a policy that is held");
    let mut machines = network.machines.iter();
    let machine = machines.find(|machine| machine.name() == node.as_str());
    let ports = ports.to_string();
    let machine = machine.expect("the machine");
    ok(machine
        .command("portkeep")
        .args(["unreserve", "--force", &ports]));
    // Strangers have a second and a half, or as long as it takes on a busy machine.
    thread::sleep(Duration::from_secs(5));
}
