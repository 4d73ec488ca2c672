//! Commands one after the other, some of which are killed or paused.

use std::collections::BTreeMap;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use portkeep_fleet::testing::probe::now;
use portkeep_fleet_core::checker::{Event, What};
use portkeep_fleet_core::data::{Name, Ports};
use portkeep_fleet_core::points::Point;
use serde_json::Value;

use crate::history::History;
use crate::random::Random;
use crate::{NODES, OWNERS, PORTS};

/// What an operator knows of a policy of its own.
struct Known {
    id: Name,
    ports: Ports,
    nodes: Vec<Name>,
}

/// An operator, who has names of its own for policies, and competes with others for ports.
pub struct Operator {
    number: u64,
    random: Random,
    command: Command,
    stop: Arc<AtomicBool>,
    /// Which policies are there. None is one that may be there or not.
    policies: BTreeMap<String, Option<Known>>,
    history: History,
}

struct Ran {
    start: u64,
    end: u64,
    status: Option<i32>,
    document: Value,
    errors: String,
}

impl Operator {
    pub fn new(number: u64, random: Random, like: Command, stop: Arc<AtomicBool>) -> Operator {
        Operator {
            number,
            random,
            command: like,
            stop,
            policies: BTreeMap::new(),
            history: History::default(),
        }
    }

    pub fn run(mut self) -> History {
        while !self.stop.load(Ordering::Relaxed) {
            let name = format!("p{}-{}", self.number, self.random.below(4));
            let there = self.policies.contains_key(&name);
            match (there, self.random.below(10)) {
                (_, 0) => drop(self.fleet(&["status", "--json"])),
                (_, 1) => drop(self.fleet(&["drift", "--json"])),
                (_, 2) => drop(self.fleet(&["repair", "--all", "--wait=2", "--json"])),
                (false, _) => self.reserve(&name),
                (true, 3..=5) => self.change(&name),
                (true, _) => self.unreserve(&name),
            }
        }
        self.history
    }

    fn choose(&mut self) -> (String, &'static str, u32) {
        let first = self.random.within(PORTS);
        let last = first + self.random.within((0, 15));
        let protocol = *self.random.one_of(&["tcp", "udp"]);
        let ports = format!("{first}-{}/{protocol}", last.min(PORTS.1));
        let on = *self.random.one_of(&["all", "rack=a", "rack=b"]);
        (ports, on, *self.random.one_of(&OWNERS))
    }

    fn reserve(&mut self, name: &str) {
        let (ports, on, user) = self.choose();
        let user_argument = format!("--user={user}");
        let on_argument = format!("--on={on}");
        let mut arguments = vec!["reserve", name, &ports, &on_argument, &user_argument];
        arguments.extend(["--wait=6", "--json"]);
        let exclude = self.random.below(12) == 0;
        if exclude {
            arguments.push("--dry-run");
        }
        let ran = self.fleet(&arguments);
        if exclude {
            return;
        }
        let ports: Ports = Ports::from(ports.parse::<portkeep::PortRange>().expect("ports"));
        let nodes = members(on);
        self.took(name, &ran, ports, nodes, user);
    }

    /// What came of a reservation.
    fn took(&mut self, name: &str, ran: &Ran, ports: Ports, nodes: Vec<Name>, user: u32) {
        let state = ran.document["state"].as_str().unwrap_or_default();
        match (ran.status, state) {
            (Some(0), "reserved") => {
                let id: Name = ran.document["id"]
                    .as_str()
                    .and_then(|id| id.parse().ok())
                    .expect("an ID");
                self.history.users.insert(id.clone(), user);
                self.history.add(
                    ran.start,
                    ran.end,
                    What::Granted {
                        id: id.clone(),
                        ports: ports.clone(),
                        nodes: nodes.clone(),
                    },
                );
                let known = Known { id, ports, nodes };
                self.policies.insert(name.to_owned(), Some(known));
            }
            (Some(1), "refused") => {
                let id = format!("refused-{}-{}", self.number, self.history.events.len());
                let id = id.parse().expect("a name");
                self.history
                    .add(ran.start, ran.end, What::Refused { id, ports, nodes });
            }
            _ => {
                self.history.unknown += 1;
                if let Some(1..=3) = ran.status {
                    self.history.say(&ran.errors);
                }
                self.policies.entry(name.to_owned()).or_insert(None);
            }
        }
    }

    fn change(&mut self, name: &str) {
        let Some(Some(known)) = self.policies.get(name) else {
            return self.unreserve(name);
        };
        let (old, before) = (known.id.clone(), known.nodes.clone());
        let old_ports = known.ports.clone();
        let user = self.history.users[&old];
        let (mut ports, ..) = self.choose();
        let range = old_ports.ranges()[0];
        if self.random.below(2) == 0 {
            // Some ports stay.
            let last = (range.end() + 3).min(PORTS.1);
            let first = range.start() + (range.end() - range.start()) / 2;
            ports = format!("{first}-{last}/{}", range.protocol());
        }
        let ran = self.fleet(&["change", name, &ports, "--wait=6", "--json"]);
        let state = ran.document["state"].as_str().unwrap_or_default();
        let not_begun = ran.status == Some(2) || ran.errors.contains("nothing was begun");
        if (ran.status, state) == (Some(1), "refused") || state == "already" || not_begun {
            // The old one goes on.
            return;
        }
        self.history
            .add(ran.start, ran.start, What::ReleaseAsked(old));
        self.policies.remove(name);
        let ports = Ports::from(ports.parse::<portkeep::PortRange>().expect("ports"));
        self.took(name, &ran, ports, before, user);
    }

    fn unreserve(&mut self, name: &str) {
        let known = self.policies.get(name).and_then(Option::as_ref);
        let id = known.map(|known| known.id.clone());
        let asked = now();
        if let Some(id) = &id {
            self.history
                .add(asked, asked, What::ReleaseAsked(id.clone()));
        }
        // A policy that may be there from now on is one that nobody counts on.
        self.policies.insert(name.to_owned(), None);
        let ran = self.fleet(&["unreserve", name, "--wait=6", "--json"]);
        let left = ran.document["left"]
            .as_array()
            .is_none_or(|it| !it.is_empty());
        match ran.status {
            Some(0) => {
                self.policies.remove(name);
                if let (Some(id), false) = (id, left) {
                    self.history.add(ran.start, ran.end, What::Released(id));
                }
            }
            Some(1) if ran.errors.contains("there is no policy") => {
                self.policies.remove(name);
            }
            _ => {}
        }
    }

    /// Runs a command, one in four with a fault of its own.
    fn fleet(&mut self, arguments: &[&str]) -> Ran {
        let mut command = Command::new(self.command.get_program());
        for (name, value) in self.command.get_envs() {
            command.env(name, value.unwrap_or_default());
        }
        command.args(arguments).stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let fault = self.random.below(16);
        if fault == 0 {
            let point = self.random.one_of(Point::ALL);
            let when = self.random.one_of(&["before", "after"]);
            command.env("PORTKEEP_FLEET_DIE", format!("{point}:{when}"));
        }
        self.history.operations += 1;
        let start = now();
        let mut child = command.spawn().expect("run portkeep-fleet");
        let mut after = || thread::sleep(Duration::from_millis(self.random.below(400)));
        match fault {
            1 => {
                after();
                let _ = child.kill();
            }
            2 => {
                after();
                signal(&child, Signal::SIGSTOP);
                thread::sleep(Duration::from_millis(1000 + self.random.below(5000)));
                signal(&child, Signal::SIGCONT);
            }
            3 => {
                after();
                signal(&child, Signal::SIGINT);
            }
            _ => {}
        }
        let output = child.wait_with_output().expect("wait for portkeep-fleet");
        let end = now();
        Ran {
            start,
            end,
            status: output.status.code(),
            document: serde_json::from_slice(&output.stdout).unwrap_or_default(),
            errors: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

fn signal(child: &Child, signal: Signal) {
    let _ = kill(Pid::from_raw(child.id().cast_signed()), signal);
}

fn members(on: &str) -> Vec<Name> {
    let nodes = NODES
        .iter()
        .filter(|(_, label)| on == "all" || *label == on);
    nodes
        .map(|(node, _)| node.parse().expect("a name"))
        .collect()
}

impl History {
    pub fn add(&mut self, start: u64, end: u64, what: What) {
        self.events.push(Event { start, end, what });
    }

    fn say(&mut self, errors: &str) {
        let line = errors.lines().next().unwrap_or_default().to_owned();
        *self.said.entry(line).or_default() += 1;
    }
}
