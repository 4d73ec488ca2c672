//! The tour of docs/fleet.md: three members of etcd, eight machines in network namespaces of their own with the
//! real kernel part, and the real commands. `scripts/fleet-tour` sets up what it needs and runs it.
//!
//! The page shows the same commands; the tour fails if it does not. With `PORTKEEP_WRITE_TOUR=1` it writes what it has
//! seen into the page.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::thread;
use std::time::{Duration, Instant};

use portkeep_fleet::testing::{Network, Probe, probe};
use portkeep_tests::Sandbox;

const NODES: [(&str, &str); 8] = [
    ("media-01", "role=media"),
    ("media-02", "role=media"),
    ("media-03", "role=media"),
    ("media-04", "role=media"),
    ("media-05", "role=media"),
    ("media-06", "role=media"),
    ("web-01", "role=web"),
    ("web-02", "role=web"),
];

/// Somebody who has nothing to do with it.
const STRANGER: u32 = 65534;

fn main() -> ExitCode {
    probe::run_if_probe();
    // Runs no trial, and removes what a killed run has left.
    if std::env::var_os("PORTKEEP_FLEET_TOUR_CLEAN").is_some() {
        return portkeep_tests::main(&[]);
    }
    portkeep_tests::benchmark(run, Duration::from_secs(900))
}

struct Tour {
    network: Network,
    /// Where this run has its cgroups and its files, and what the page has instead.
    places: [(String, &'static str); 2],
    text: String,
}

fn run(sandbox: &Sandbox) {
    // SAFETY: the process has one thread.
    unsafe { std::env::set_var("TMPDIR", sandbox.state_dir()) };
    let machines = sandbox.state_dir().join("machines");
    let network = Network::new(&machines, sandbox.cgroup(), 3, &[]);
    let mut tour = Tour {
        network,
        places: [
            (sandbox.cgroup().display().to_string(), "/sys/fs/cgroup"),
            (machines.display().to_string(), "/machines"),
        ],
        text: String::new(),
    };
    tour.join();
    tour.reserve();
    tour.look();
    tour.drift();
    tour.without_etcd();
    tour.change();
    tour.end();
    page(&tour.text);
}

impl Tour {
    fn join(&mut self) {
        self.say("An operator makes the fleet, and lets eight machines join. Portkeep is enabled on each.");
        self.admin("init --name test", 0);
        for (node, label) in NODES {
            let machine = self.network.add(node);
            assert_eq!(machine.name(), node);
            self.admin(&format!("node add {node} --label {label}"), 0);
        }
        self.say("Each machine has its agent.");
        for (node, _) in NODES {
            let network = &mut self.network;
            let at = network.machines.iter().position(|it| it.name() == node);
            network.machines[at.expect("the machine")].start_agent(&network.etcd);
        }
        self.wait_for_agents();
        self.admin("node ls", 0);
    }

    fn reserve(&mut self) {
        self.say("All media servers are to keep a range for one user. On media-04, a stranger is in the way.");
        let stranger = self.binds("media-04", 10042).expect("a free port");
        self.admin(
            "reserve rtp 10000-20000/udp --on role=media --user daemon --dry-run",
            1,
        );
        self.admin(
            "reserve rtp 10000-20000/udp --on role=media --user daemon",
            1,
        );
        self.say("Refused means on no node: a stranger can still bind on media-01.");
        drop(self.binds("media-01", 10042).expect("a free port"));
        drop(stranger);
        self.say("The stranger on media-04 has ended.");
        self.admin(
            "reserve rtp 10000-20000/udp --on role=media --user daemon --comment RTP",
            0,
        );
        self.say("Committed means enforced, on every one of them.");
        for node in ["media-01", "media-04"] {
            self.binds(node, 10042).expect_err("reserved");
        }
        self.admin("exclude nodes 30000-32767/tcp --on all", 0);
    }

    fn look(&mut self) {
        self.admin("status", 0);
        self.admin("who 10042/udp", 0);
        self.admin("why media-02:10042/udp", 0);
        self.local("media-02", "ls", 0);
        self.say("What the fleet holds is the fleet's, also for the machine's root.");
        self.local("media-02", "unreserve 10000-20000/udp", 1);
    }

    fn drift(&mut self) {
        self.say("By force, root can. The fleet says so, and leaves it at that until an operator repairs it.");
        self.local("media-03", "unreserve --force 10000-20000/udp", 0);
        let over = Instant::now() + Duration::from_secs(60);
        while self.fleet("drift").output().expect("drift").status.code() != Some(3) {
            assert!(Instant::now() < over, "no drift is seen");
            thread::sleep(Duration::from_millis(50));
        }
        self.admin("drift", 3);
        self.admin("repair media-03", 0);
        self.admin("drift", 0);
    }

    fn without_etcd(&mut self) {
        self.say("All members of etcd stop. Nothing opens, and what is local goes on.");
        for member in 0..3 {
            self.network.etcd.kill(member);
        }
        self.binds("media-02", 10042).expect_err("reserved");
        self.admin("status", 4);
        self.local("media-02", "reserve 8080/tcp --user daemon", 0);
        self.say("A machine that boots meanwhile has the fleet's policies from its own store.");
        self.network.machine("media-05").kill_agent();
        self.local("media-05", "disable", 0);
        self.local("media-05", "enable", 0);
        self.binds("media-05", 10042).expect_err("reserved");
        let network = &mut self.network;
        let mut machines = network.machines.iter_mut();
        let machine = machines.find(|it| it.name() == "media-05");
        machine.expect("the machine").start_agent(&network.etcd);
        for member in 0..3 {
            self.network.etcd.restart(member);
        }
        self.network.etcd.wait();
        self.say("They are back.");
        self.wait_for_agents();
        self.admin("drift", 0);
    }

    fn change(&mut self) {
        self.say("Other ports for the same policy. What it has before and after is closed at every instant.");
        self.admin("change rtp 10000-25000/udp", 0);
        self.binds("media-02", 10042).expect_err("reserved");
        self.binds("media-02", 24000).expect_err("reserved");
        self.say("A new one, in waves: on one machine first, then on half of them. On web-01, a stranger is in the way.");
        let stranger = self.binds("web-01", 5060).expect("a free port");
        let sip = "reserve sip 5060/udp --on all --user daemon --waves 1,50%,100%";
        self.admin(sip, 1);
        drop(stranger);
        self.say("The stranger on web-01 has ended.");
        self.admin(sip, 0);
        self.say("An exclusion refuses nobody. Who uses its ports?");
        self.admin("strangers nodes", 0);
        self.say("A port of the fleet's choice, free on all machines.");
        self.choose();
    }

    /// Another number in each run.
    fn choose(&mut self) {
        let reserve = "reserve billing tcp --count 1 --on role=web --user daemon";
        self.admin(reserve, 0);
        for policy in ["billing", "sip"] {
            self.admin(&format!("unreserve {policy}"), 0);
        }
    }

    fn end(&mut self) {
        self.admin("unreserve rtp", 0);
        drop(self.binds("media-02", 10042).expect("released"));
        self.admin("status", 0);
    }

    fn fleet(&self, arguments: &str) -> Command {
        let mut command = self.network.operator("root");
        command.args(arguments.split(' '));
        command
    }

    fn wait_for_agents(&self) {
        let over = Instant::now() + Duration::from_secs(120);
        loop {
            let output = self.fleet("node ls --json").output().expect("node ls");
            let listed: serde_json::Value =
                serde_json::from_slice(&output.stdout).unwrap_or_default();
            let nodes = listed["nodes"].as_array().cloned().unwrap_or_default();
            if nodes.iter().filter(|it| it["connected"] == true).count() == NODES.len() {
                return;
            }
            assert!(Instant::now() < over, "not all agents connect: {listed}");
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// Runs a command of an operator, shows it and what it says, and expects its exit status.
    fn admin(&mut self, arguments: &str, status: i32) {
        let command = self.fleet(arguments);
        self.show("admin", &format!("fleet {arguments}"), command, status);
    }

    /// The same on a machine.
    fn local(&mut self, node: &str, arguments: &str, status: i32) {
        let mut command = self.network.machine(node).command("portkeep");
        command.args(arguments.split(' '));
        self.show(node, arguments, command, status);
    }

    fn show(&mut self, who: &str, arguments: &str, mut command: Command, status: i32) {
        let output = command.output().expect("run a command");
        let both = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&both);
        self.print(&format!("{who}# portkeep {arguments}\n{said}"));
        assert_eq!(output.status.code(), Some(status), "{arguments}");
    }

    /// A process of another user binds a UDP port.
    fn binds(&mut self, node: &str, port: u16) -> Result<Probe, String> {
        let bound = Probe::hold(self.network.machine(node), STRANGER, port);
        let how = match &bound {
            Ok(_) => "gets it",
            Err(why) => why,
        };
        let text = format!("# A stranger on {node} binds {port}/udp: {how}\n");
        self.print(&text);
        bound
    }

    fn say(&mut self, text: &str) {
        self.print(&format!("# {text}\n"));
    }

    fn print(&mut self, text: &str) {
        print!("{text}");
        let _ = std::io::stdout().flush();
        let mut text = text.to_owned();
        for (place, instead) in &self.places {
            text = text.replace(place, instead);
        }
        self.text += &text;
    }
}

const BEGIN: &str = "<!-- scripts/fleet-tour -->\n```console\n";
const END: &str = "```\n";

/// Compares the commands with those of the page, or writes the page.
fn page(text: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/fleet.md");
    let Ok(page) = fs::read_to_string(&path) else {
        return;
    };
    let (before, rest) = page.split_once(BEGIN).expect("the tour in docs/fleet.md");
    let (shown, after) = rest.split_once(END).expect("the end of the tour");
    if std::env::var_os("PORTKEEP_WRITE_TOUR").is_some() {
        let mut new = String::new();
        let _ = write!(new, "{before}{BEGIN}{text}{END}{after}");
        fs::write(&path, new).expect("write docs/fleet.md");
        return;
    }
    assert_eq!(
        commands(shown),
        commands(text),
        "docs/fleet.md is another tour"
    );
}

fn commands(text: &str) -> Vec<&str> {
    let lines = text.lines();
    lines
        .filter(|line| line.starts_with("# ") || line.contains("# portkeep "))
        .collect()
}
