use std::fs::{self, File};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::Authority;
use crate::config::{Config, Timing};
use crate::engine::Engine;

/// How etcd is started.
#[derive(Clone, Debug)]
pub struct Options {
    /// How many members.
    pub members: usize,
    /// On which address; each member has two ports from 2379 on.
    pub address: String,
    /// More arguments.
    pub arguments: Vec<String>,
    /// What its users' configurations have.
    pub timing: Timing,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            members: 1,
            address: "127.0.0.1".to_owned(),
            arguments: Vec::new(),
            timing: Timing {
                answer: 2_000,
                keep_alive: 1_000,
                lease: 5,
                resync: 600,
            },
        }
    }
}

/// An etcd of its own, which ends with this value or with this process.
#[derive(Debug)]
pub struct Etcd {
    directory: PathBuf,
    options: Options,
    authority: Authority,
    members: Vec<Option<Child>>,
}

impl Etcd {
    /// Starts members, and waits until they answer.
    ///
    /// # Panics
    ///
    /// If etcd is not there or does not start.
    pub fn start(options: Options) -> Etcd {
        let name = format!(
            "portkeep-etcd-{}-{:x}",
            std::process::id(),
            crate::engine::random()
        );
        let directory = std::env::temp_dir().join(name);
        fs::create_dir_all(&directory).expect("a directory for etcd");
        let authority = Authority::new(directory.clone());
        authority.issue("etcd", &options.address);
        authority.issue("root", &options.address);
        let mut etcd = Etcd {
            directory,
            authority,
            members: (0..options.members).map(|_| None).collect(),
            options,
        };
        for member in 0..etcd.members.len() {
            etcd.start_member(member);
        }
        etcd.wait();
        etcd
    }

    /// One member, or three.
    pub fn with_members(members: usize) -> Etcd {
        Etcd::start(Options {
            members,
            ..Options::default()
        })
    }

    /// Waits until etcd answers.
    pub fn wait(&self) {
        let engine = Engine::new(self.config("root"));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let started = Instant::now();
        while let Err(error) = runtime.block_on(engine.connect()) {
            let log = fs::read_to_string(self.directory.join("log")).unwrap_or_default();
            let late = started.elapsed() > Duration::from_secs(90);
            assert!(!late, "etcd does not answer: {error}\n{log}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Where the certificates and the data are.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Who signs.
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// The URLs of the members.
    pub fn urls(&self) -> Vec<String> {
        (0..self.members.len())
            .map(|member| self.url(member, 0))
            .collect()
    }

    /// The configuration of a fleet `test` for whoever has this common name.
    pub fn config(&self, name: &str) -> Config {
        let (certificate, key) = self.certificate(name);
        Config {
            name: "test".parse().expect("a name"),
            engine: self.urls(),
            ca: Some(self.authority.ca()),
            certificate: Some(certificate),
            key: Some(key),
            node: name.parse().ok(),
            max_ports: None,
            never: Vec::new(),
            timing: self.options.timing,
        }
    }

    /// The same as a file, with more lines.
    pub fn config_file(&self, name: &str, lines: &str) -> PathBuf {
        let (certificate, key) = self.certificate(name);
        let Timing {
            answer,
            keep_alive,
            lease,
            ..
        } = self.options.timing;
        let text = format!(
            "name = \"test\"\nengine = {:?}\nca = {:?}\ncertificate = {certificate:?}\nkey = {key:?}\n\
             node = \"{name}\"\n{lines}\n\n[timing]\nanswer = {answer}\nkeep-alive = {keep_alive}\nlease = {lease}\n",
            self.urls(),
            self.authority.ca(),
        );
        let path = self.directory.join(format!("{name}.toml"));
        fs::write(&path, text).expect("write a configuration");
        path
    }

    fn certificate(&self, name: &str) -> (PathBuf, PathBuf) {
        let of = |end: &str| self.directory.join(format!("{name}.{end}"));
        let files = (of("pem"), of("key"));
        if !files.0.exists() {
            self.authority.issue(name, &self.options.address);
        }
        files
    }

    /// Kills a member, as `kill -9` does.
    pub fn kill(&mut self, member: usize) {
        if let Some(mut child) = self.members[member].take() {
            child.kill().expect("kill etcd");
            child.wait().expect("wait for etcd");
        }
    }

    /// Stops a member for a while (`SIGSTOP`).
    pub fn pause(&self, member: usize) {
        if let Some(child) = &self.members[member] {
            super::stop(child);
        }
    }

    /// Lets a paused member go on.
    pub fn resume(&self, member: usize) {
        self.signal(member, Signal::SIGCONT);
    }

    fn signal(&self, member: usize, signal: Signal) {
        if let Some(child) = &self.members[member] {
            kill(Pid::from_raw(child.id().cast_signed()), signal).expect("signal etcd");
        }
    }

    /// Starts a killed member again, with its data.
    pub fn restart(&mut self, member: usize) {
        self.kill(member);
        self.start_member(member);
    }

    /// Deletes the data of all members, which are killed, and starts a new cluster with another ID.
    pub fn start_anew(&mut self) {
        for member in 0..self.members.len() {
            self.kill(member);
            let _ = fs::remove_dir_all(self.data(member));
        }
        let token = format!("token-{:x}", crate::engine::random());
        self.options
            .arguments
            .push(format!("--initial-cluster-token={token}"));
        for member in 0..self.members.len() {
            self.start_member(member);
        }
        self.wait();
    }

    /// Keeps a copy of a killed member's data.
    pub fn save(&self, member: usize) {
        self.copy(&self.data(member), &self.directory.join("saved"));
    }

    /// Replaces a killed member's data by the copy, as restoring a snapshot does.
    pub fn load(&self, member: usize) {
        fs::remove_dir_all(self.data(member)).expect("remove the data");
        self.copy(&self.directory.join("saved"), &self.data(member));
    }

    /// Keeps a copy of all members' data. They are killed for it, and started again.
    pub fn save_all(&mut self) {
        let members = 0..self.members.len();
        members.clone().for_each(|member| self.kill(member));
        for member in members {
            self.copy(&self.data(member), &self.saved(member));
            self.start_member(member);
        }
    }

    /// Replaces all members' data by the copies, as restoring a snapshot does.
    pub fn load_all(&mut self) {
        let members = 0..self.members.len();
        members.clone().for_each(|member| self.kill(member));
        for member in members {
            fs::remove_dir_all(self.data(member)).expect("remove the data");
            self.copy(&self.saved(member), &self.data(member));
            self.start_member(member);
        }
        self.wait();
    }

    fn saved(&self, member: usize) -> PathBuf {
        self.directory.join(format!("saved{member}"))
    }

    fn copy(&self, from: &Path, to: &Path) {
        let copied = Command::new("cp").arg("-a").args([from, to]).status();
        assert!(copied.expect("cp").success());
    }

    fn url(&self, member: usize, port: usize) -> String {
        format!(
            "https://{}:{}",
            self.options.address,
            2379 + 10 * member + port
        )
    }

    /// Where a member's data is.
    pub fn data(&self, member: usize) -> PathBuf {
        self.directory.join(format!("data{member}"))
    }

    fn start_member(&mut self, member: usize) {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.directory.join("log"))
            .expect("a log");
        let members = 0..self.members.len();
        let cluster: Vec<String> = members
            .map(|member| format!("m{member}={}", self.url(member, 1)))
            .collect();
        let file = |name: &str| self.directory.join(name);
        let mut command = Command::new(binary());
        command
            .arg(format!("--name=m{member}"))
            .arg(format!("--initial-cluster={}", cluster.join(",")))
            .args([
                "--unsafe-no-fsync",
                "--log-level=error",
                "--client-cert-auth",
            ])
            .args(["--peer-client-cert-auth", "--enable-grpc-gateway=false"])
            .arg("--experimental-watch-progress-notify-interval=1s")
            .arg("--data-dir")
            .arg(self.data(member));
        for side in ["client", "peer"] {
            let url = self.url(member, usize::from(side == "peer"));
            command.arg(format!("--listen-{side}-urls={url}"));
            match side {
                "peer" => command.arg(format!("--initial-advertise-peer-urls={url}")),
                _ => command.arg(format!("--advertise-client-urls={url}")),
            };
        }
        for prefix in ["", "peer-"] {
            command
                .arg(format!("--{prefix}trusted-ca-file"))
                .arg(file("ca.pem"));
            command
                .arg(format!("--{prefix}cert-file"))
                .arg(file("etcd.pem"));
            command
                .arg(format!("--{prefix}key-file"))
                .arg(file("etcd.key"));
        }
        command.args(&self.options.arguments);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        // SAFETY: only a system call between fork and exec.
        unsafe {
            command.pre_exec(|| Ok(nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)?));
        }
        let child = command
            .spawn()
            .expect("start etcd. Hint: scripts/set-up fleet");
        self.members[member] = Some(child);
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        for member in 0..self.members.len() {
            self.kill(member);
        }
        let _ = fs::remove_dir_all(&self.directory);
    }
}

fn binary() -> PathBuf {
    let fetched = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../target/etcd/usr/bin/etcd"
    );
    match Path::new(fetched).exists() {
        true => fetched.into(),
        false => "etcd".into(),
    }
}
