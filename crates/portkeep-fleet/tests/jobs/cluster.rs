//! Nodes in network namespaces on a bridge, each with an agent and a store; one kernel part enforces in all of
//! them. The steward and etcd are in the trial's own namespace.

use std::fs::{self, File};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, setns};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use portkeep_fleet::engine::Engine;
use portkeep_fleet::testing::{Etcd, Options};
use portkeep_tests::{Sandbox, enable, proc, sock};
use serde_json::Value;

use crate::common::{fails, fleet, ok};
use crate::json::parse;

const GATEWAY: &str = "10.98.0.1";

/// Waits for what comes sooner or later.
#[track_caller]
pub fn wait<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(started.elapsed() < Duration::from_secs(150), "{what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn ip(arguments: &str) {
    let done = Command::new("ip").args(arguments.split(' ')).output();
    let done = done.expect("ip");
    assert!(done.status.success(), "ip {arguments}: {done:?}");
}

pub struct Node {
    pub name: String,
    /// Keeps the network namespace.
    holder: Child,
    agent: Option<Child>,
    state: PathBuf,
}

pub struct Cluster<'a> {
    pub sandbox: &'a Sandbox,
    pub etcd: Etcd,
    pub nodes: Vec<Node>,
    steward: Option<Child>,
}

impl Node {
    /// A process in its network namespace.
    pub fn pid(&self) -> u32 {
        self.holder.id()
    }
}

impl<'a> Cluster<'a> {
    /// With this band, this number of nodes n1, n2, …, and a steward.
    pub fn new(sandbox: &'a Sandbox, count: usize, band: &str) -> Cluster<'a> {
        enable::enable(sandbox);
        ip("link add br0 type bridge");
        ip(&format!("addr add {GATEWAY}/24 dev br0"));
        ip("link set br0 up");
        let etcd = Etcd::start(Options {
            address: GATEWAY.to_owned(),
            ..Options::default()
        });
        ok(fleet(&etcd, "root").args(["init", "--name=test", "--steward=steward", "--band", band]));
        let mut cluster = Cluster {
            sandbox,
            etcd,
            nodes: Vec::new(),
            steward: None,
        };
        for number in 1..=count {
            cluster.add(number);
        }
        cluster.start_steward();
        for index in 0..count {
            cluster.wait_until_acting(index);
        }
        cluster
    }

    fn add(&mut self, number: usize) {
        let name = format!("n{number}");
        let label = format!("number={number}");
        let add = [
            "node",
            "add",
            &name,
            "--label",
            "role=compute",
            "--label",
            &label,
        ];
        ok(fleet(&self.etcd, "root").args(add));
        let holder = Command::new("unshare")
            .args(["-n", "sleep", "1000000"])
            .spawn();
        let holder = holder.expect("a namespace");
        let pid = holder.id();
        let own = fs::read_link("/proc/self/ns/net").expect("a namespace");
        wait("a namespace", || {
            let of = fs::read_link(format!("/proc/{pid}/ns/net")).ok()?;
            (of != own).then_some(())
        });
        ip(&format!(
            "link add v{number} type veth peer name e0 netns {pid}"
        ));
        ip(&format!("link set v{number} master br0 up"));
        let state = self.sandbox.state_dir().join(&name);
        fs::create_dir_all(&state).expect("a directory");
        self.nodes.push(Node {
            name,
            holder,
            agent: None,
            state,
        });
        let index = number - 1;
        for arguments in [
            format!("addr add 10.98.0.{}/24 dev e0", 10 + number),
            "link set e0 up".to_owned(),
            "link set lo up".to_owned(),
        ] {
            let mut command = self.on(index, "ip");
            assert!(
                command
                    .args(arguments.split(' '))
                    .status()
                    .expect("ip")
                    .success()
            );
        }
        self.start_agent(index);
    }

    /// Has the names of the nodes and of the steward's machine resolved, in the trial's mount namespace.
    pub fn name_the_nodes(&self) {
        let mut text = format!("127.0.0.1 localhost\n{GATEWAY} ctl\n");
        for (index, node) in self.nodes.iter().enumerate() {
            text += &format!("10.98.0.{} {}\n", 11 + index, node.name);
        }
        let hosts = self.sandbox.state_dir().join("hosts");
        fs::write(&hosts, text).expect("write");
        let none = None::<&str>;
        mount(Some(&hosts), "/etc/hosts", none, MsFlags::MS_BIND, none).expect("bind mount");
    }

    /// A program on a node.
    pub fn on(&self, index: usize, program: &str) -> Command {
        let node = &self.nodes[index];
        let mut command = Command::new(program);
        let namespace = format!("/proc/{}/ns/net", node.holder.id());
        // SAFETY: system calls alone, between fork and exec.
        unsafe {
            command.pre_exec(move || {
                let file = File::open(&namespace)?;
                Ok(setns(file, CloneFlags::CLONE_NEWNET)?)
            });
        }
        command.env("PORTKEEP_STATE_DIR", &node.state);
        command.env(
            "PORTKEEP_FLEET_CONFIG",
            self.etcd.directory().join(format!("{}.toml", node.name)),
        );
        command.env("PORTKEEP_STEWARD_SOCKET", self.socket());
        command
    }

    /// A command of the fleet on a node.
    pub fn fleet_on(&self, index: usize) -> Command {
        self.on(index, env!("CARGO_BIN_EXE_portkeep-fleet"))
    }

    pub fn start_agent(&mut self, index: usize) {
        let name = self.nodes[index].name.clone();
        self.etcd.config_file(&name, "");
        let mut command = self.fleet_on(index);
        command.arg("agent").stdin(Stdio::null());
        self.nodes[index].agent = Some(command.spawn().expect("start the agent"));
    }

    pub fn kill_agent(&mut self, index: usize) {
        end(&mut self.nodes[index].agent);
    }

    pub fn wait_until_acting(&self, index: usize) {
        use std::io::{Read as _, Write as _};
        let socket = self.nodes[index].state.join("run/fleet.sock");
        wait("the agent acts", || {
            let mut stream = std::os::unix::net::UnixStream::connect(&socket).ok()?;
            stream.write_all(b"{\"ask\":\"status\"}\n").ok()?;
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).ok()?;
            let answer: Value = serde_json::from_slice(&answer).ok()?;
            (answer["document"]["acting"] == true).then_some(())
        });
    }

    pub fn socket(&self) -> PathBuf {
        self.sandbox.state_dir().join("steward.sock")
    }

    pub fn start_steward(&mut self) {
        let mut command = fleet(&self.etcd, "steward");
        command.args(["steward", "--grace=3"]);
        command.env("PORTKEEP_STEWARD_SOCKET", self.socket());
        self.steward = Some(command.spawn().expect("start the steward"));
        let socket = self.socket();
        wait("the steward listens", || {
            std::os::unix::net::UnixStream::connect(&socket).ok()
        });
    }

    pub fn kill_steward(&mut self) {
        end(&mut self.steward);
    }

    /// A command of a user on the machine of the steward. Its name is the same on all of them.
    pub fn user(&self, user: &str, arguments: &[&str]) -> Command {
        let mut command = fleet(&self.etcd, "steward");
        command.env("PORTKEEP_STEWARD_SOCKET", self.socket());
        command.env_remove("PORTKEEP_FLEET_CONFIG");
        command.args(arguments);
        as_user(command, user)
    }

    pub fn acquire(&self, user: &str, arguments: &[&str]) -> Value {
        let all = [&["acquire", "--json"], arguments].concat();
        parse("fleet-acquire", &ok(&mut self.user(user, &all)))
    }

    /// What a refusal says, as a document.
    pub fn refused(&self, user: &str, arguments: &[&str]) -> Value {
        let all = [&["acquire", "--json"], arguments].concat();
        let Output {
            status,
            stdout,
            stderr,
        } = self.user(user, &all).output().expect("run");
        assert_eq!(
            status.code(),
            Some(1),
            "{}",
            String::from_utf8_lossy(&stderr)
        );
        parse("fleet-acquire", &String::from_utf8(stdout).expect("UTF-8"))
    }

    pub fn release(&self, user: &str, id: &str) -> Value {
        parse(
            "fleet-release",
            &ok(&mut self.user(user, &["release", "--json", id])),
        )
    }

    pub fn release_fails(&self, user: &str, id: &str) -> String {
        fails(&mut self.user(user, &["release", id]), 1)
    }

    /// What binding on a node says, of a process in a cgroup: 0 or an errno.
    pub fn bind(&self, index: usize, cgroup: Option<&str>, port: u16) -> i32 {
        let namespace = format!("/proc/{}/ns/net", self.nodes[index].holder.id());
        let cgroup = cgroup.map(|name| self.cgroup(name));
        let child = proc::fork_child(|| {
            let file = File::open(&namespace).expect("a namespace");
            setns(file, CloneFlags::CLONE_NEWNET).expect("enter");
            let bind = || sock::bind_any(sock::tcp4(), port).err().unwrap_or(0);
            match &cgroup {
                Some(cgroup) => proc::in_cgroup(cgroup, bind),
                None => bind(),
            }
        });
        child.code()
    }

    /// A cgroup of that name, as a job system makes them.
    pub fn cgroup(&self, name: &str) -> PathBuf {
        let cgroup = self.sandbox.inside_cgroup().join(name);
        let _ = fs::create_dir(&cgroup);
        cgroup
    }

    pub fn engine(&self) -> Engine {
        Engine::new(self.etcd.config("root"))
    }

    /// The keys that there are of grants.
    pub fn keys(&self) -> Vec<String> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let runtime = runtime.expect("a runtime");
        let listing = runtime.block_on(async { self.engine().list("").await });
        let keys = listing
            .expect("list")
            .reads
            .into_iter()
            .map(|read| read.key.to_string());
        let of_grants = |key: &String| {
            key.starts_with("grant/") || key.contains("/want/") || key.contains("/have/")
        };
        keys.filter(of_grants).collect()
    }

    pub fn wait_until_nothing_is_left(&self) {
        wait("nothing is left", || self.keys().is_empty().then_some(()));
    }
}

impl Drop for Cluster<'_> {
    fn drop(&mut self) {
        end(&mut self.steward);
        for node in &mut self.nodes {
            end(&mut node.agent);
            let _ = node.holder.kill();
            let _ = node.holder.wait();
        }
    }
}

fn end(child: &mut Option<Child>) {
    if let Some(mut child) = child.take() {
        let _ = child.kill();
        let _ = child.wait();
    }
}

pub fn signal(child: &Child, signal: Signal) {
    kill(Pid::from_raw(child.id().cast_signed()), signal).expect("signal");
}

/// As a user, by name.
pub fn as_user(command: Command, user: &str) -> Command {
    if user == "root" {
        return command;
    }
    let mut other = Command::new("setpriv");
    other
        .args(["--reuid", user, "--regid", "nogroup", "--clear-groups"])
        .arg(command.get_program())
        .args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => other.env(name, value),
            None => other.env_remove(name),
        };
    }
    other
}

/// In a cgroup, as a job's task is.
pub fn in_cgroup(command: &mut Command, cgroup: PathBuf) -> &mut Command {
    // SAFETY: a write between fork and exec.
    unsafe {
        command.pre_exec(move || fs::write(cgroup.join("cgroup.procs"), "0"));
    }
    command
}

pub fn json(text: String) -> Value {
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// The first port of a grant of one protocol.
pub fn port(grant: &Value, protocol: &str) -> u16 {
    let ports = grant["ports"].as_array().expect("ports").iter();
    let mut of =
        ports.filter_map(|ports| ports.as_str()?.strip_suffix(protocol)?.strip_suffix('/'));
    let range = of.next().expect("a range");
    let first = range.split('-').next().expect("a port");
    first.parse().expect("a port")
}
