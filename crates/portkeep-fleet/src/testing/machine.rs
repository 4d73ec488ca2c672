use std::fs::{self, File};
use std::io::Write as _;
use std::net::Ipv4Addr;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::Etcd;

/// A machine of a test: a network namespace on a bridge, with an installation of Portkeep and an agent of its
/// own. Its processes end with this value, and with the thread that started them.
#[derive(Debug)]
pub struct Machine {
    name: String,
    directory: PathBuf,
    cgroup: PathBuf,
    keeper: Child,
    agent: Option<Child>,
    address: Ipv4Addr,
}

impl Machine {
    /// The machine, with a veth link to the bridge.
    pub(super) fn new(name: &str, directory: &Path, cgroup: &Path, number: u8) -> Machine {
        let (directory, cgroup) = (directory.join(name), cgroup.join(name));
        for path in [&directory.join("bpf"), &directory.join("state")] {
            fs::create_dir_all(path).expect("the machine's directories");
        }
        fs::create_dir_all(cgroup.join("inside")).expect("the machine's cgroup");
        mount("bpf", "mode=0755", &directory.join("bpf"));
        // Small, so that it can be filled.
        mount("tmpfs", "size=2m,mode=0755", &directory.join("state"));
        let mut keeper = Command::new("sleep");
        keeper.arg("infinity").stdin(Stdio::null());
        // SAFETY: only system calls between fork and exec.
        unsafe {
            keeper.pre_exec(|| {
                unshare(CloneFlags::CLONE_NEWNET)?;
                Ok(set_pdeathsig(Signal::SIGKILL)?)
            });
        }
        let keeper = keeper.spawn().expect("sleep(1)");
        let machine = Machine {
            name: name.to_owned(),
            directory,
            cgroup,
            keeper,
            agent: None,
            address: Ipv4Addr::new(10, 77, 1, number),
        };
        machine.connect(number);
        machine
    }

    fn connect(&self, number: u8) {
        let (veth, id) = (format!("veth{number}"), self.keeper.id().to_string());
        let peer = ["type", "veth", "peer", "name", "eth0", "netns", &id];
        done(Command::new("ip").args(["link", "add", &veth]).args(peer));
        done(Command::new("ip").args(["link", "set", &veth, "master", "bridge0", "up"]));
        let address = format!("{}/16", self.address);
        done(
            self.command("ip")
                .args(["address", "add", &address, "dev", "eth0"]),
        );
        for link in ["lo", "eth0"] {
            done(self.command("ip").args(["link", "set", link, "up"]));
        }
    }

    /// Its name, which is the node's.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where its files are.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The cgroup that Portkeep is enabled at.
    pub fn cgroup(&self) -> &Path {
        &self.cgroup
    }

    /// Where its store is: a small tmpfs.
    pub fn state(&self) -> PathBuf {
        self.directory.join("state")
    }

    /// Its address on the bridge.
    pub fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// A program as on this machine; those that this workspace builds are found first.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(find(program));
        let targets = targets();
        let path = std::env::var("PATH").unwrap_or_default();
        command
            .env("PORTKEEP_CGROUP", &self.cgroup)
            .env("PORTKEEP_BPFFS", self.directory.join("bpf"))
            .env("PORTKEEP_STATE_DIR", self.state())
            .env("PATH", format!("{}:{path}", targets.display()))
            .stdin(Stdio::null());
        let procs = self.cgroup.join("inside/cgroup.procs");
        let procs = File::options().write(true).open(procs).expect("the cgroup");
        let namespace = format!("/proc/{}/ns/net", self.keeper.id());
        let namespace = File::open(namespace).expect("the network namespace");
        // SAFETY: only system calls between fork and exec.
        unsafe {
            command.pre_exec(move || {
                (&procs).write_all(b"0")?;
                setns(&namespace, CloneFlags::CLONE_NEWNET)?;
                Ok(set_pdeathsig(Signal::SIGKILL)?)
            });
        }
        command
    }

    /// `portkeep-fleet` as the machine's root calls it, who is the node for etcd.
    pub fn fleet(&self, etcd: &Etcd) -> Command {
        let mut command = self.command("portkeep-fleet");
        let file = etcd.directory().join(format!("{}.toml", self.name));
        if !file.exists() {
            etcd.config_file(&self.name, "");
        }
        command.env("PORTKEEP_FLEET_CONFIG", file);
        command
    }

    /// Installs the kernel part, and restores what is in the store.
    pub fn enable(&self) {
        done(self.command("portkeep").arg("enable"));
    }

    /// Starts the agent, or starts it again, with more variables in its environment.
    pub fn start_agent_with(&mut self, etcd: &Etcd, variables: &[(&str, &str)]) {
        self.kill_agent();
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.log())
            .expect("a log");
        let mut command = self.fleet(etcd);
        command.arg("agent").envs(variables.iter().copied());
        command
            .stdout(log.try_clone().expect("the log"))
            .stderr(log);
        self.agent = Some(command.spawn().expect("start the agent"));
    }

    /// Starts the agent, or starts it again.
    pub fn start_agent(&mut self, etcd: &Etcd) {
        self.start_agent_with(etcd, &[]);
    }

    /// What the agents of this machine have said.
    pub fn log(&self) -> PathBuf {
        self.directory.join("agent.log")
    }

    /// The process of the agent.
    pub fn agent(&self) -> Option<u32> {
        self.agent.as_ref().map(Child::id)
    }

    /// Whether the agent has died.
    pub fn is_agent_dead(&mut self) -> bool {
        let agent = self.agent.as_mut();
        agent.is_none_or(|agent| !matches!(agent.try_wait(), Ok(None)))
    }

    /// Kills the agent, as `kill -9` does.
    pub fn kill_agent(&mut self) {
        if let Some(mut agent) = self.agent.take() {
            let _ = agent.kill();
            let _ = agent.wait();
        }
    }

    /// Stops the agent for a while (`SIGSTOP`), or lets it go on.
    pub fn pause_agent(&self, stop: bool) {
        match &self.agent {
            Some(agent) if stop => super::stop(agent),
            Some(agent) => {
                let _ = kill(Pid::from_raw(agent.id().cast_signed()), Signal::SIGCONT);
            }
            None => {}
        }
    }

    /// Drops packets, by rules of nftables for output and for input.
    pub fn drop_packets(&self, output: &str, input: &str) {
        let chain = |hook: &str, matched: &str| match matched {
            "" => String::new(),
            matched => {
                format!("chain {hook} {{ type filter hook {hook} priority 0; {matched} drop; }}\n")
            }
        };
        let chains = [chain("output", output), chain("input", input)];
        self.heal();
        let table = format!("table inet faults {{ {} }}", chains.join(" "));
        done(self.command("nft").arg(table));
    }

    /// Cuts it off from all members of etcd.
    pub fn cut_off(&self) {
        self.drop_packets("ip daddr 10.77.0.1", "ip saddr 10.77.0.1");
    }

    /// Ends what drops packets.
    pub fn heal(&self) {
        let mut command = self.command("nft");
        command.args(["delete", "table", "inet", "faults"]);
        let _ = command.stderr(Stdio::null()).status();
    }

    /// Fills the disk of the store.
    pub fn fill_disk(&self) {
        let mut file = File::create(self.state().join("full")).expect("a file");
        let zeros = [0; 4096];
        while file.write_all(&zeros).is_ok() {}
    }

    /// Makes room again.
    pub fn empty_disk(&self) {
        let _ = fs::remove_file(self.state().join("full"));
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.kill_agent();
        let _ = self.keeper.kill();
        let _ = self.keeper.wait();
    }
}

/// Runs a command that has to succeed.
///
/// # Panics
///
/// If it does not.
pub(super) fn done(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {errors}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn mount(kind: &str, options: &str, target: &Path) {
    done(
        Command::new("mount")
            .args(["-t", kind, "-o", options, kind])
            .arg(target),
    );
}

/// Where this workspace's programs are: above the test's, example's or benchmark's own.
pub(super) fn targets() -> PathBuf {
    let own = fs::read_link("/proc/self/exe").unwrap_or_default();
    let above = own.ancestors().nth(2).map(Path::to_path_buf);
    above.unwrap_or_default()
}

fn find(program: &str) -> PathBuf {
    let own = targets().join(program);
    match own.exists() {
        true => own,
        false => program.into(),
    }
}
