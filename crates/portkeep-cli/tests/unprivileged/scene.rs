//! A command that an ordinary user runs with ports of its own, and strangers that want them.

use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use portkeep_tests::Sandbox;

use crate::common::{Running, USER, portkeep, portkeep_as_user};

/// The port that the command gets, of both protocols.
pub const PORT: u16 = 20000;

/// Another ordinary user.
const OTHER_USER: u32 = 65533;

/// Where programs are built that every user can run.
pub fn build(sandbox: &Sandbox, source: &str) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/unprivileged/programs")
        .join(source);
    let name = source.file_name().expect("a name");
    let built = sandbox.state_dir().join(name).with_extension("built");
    let mut command = match source.extension().and_then(|it| it.to_str()) {
        Some("c") => {
            let mut cc = Command::new("cc");
            cc.args(["-O2", "-Wall", "-Wextra", "-Werror", "-o"]);
            cc.arg(&built).arg(&source);
            cc
        }
        Some("go") => {
            let mut go = Command::new("go");
            go.args(["build", "-o"]).arg(&built).arg(&source);
            go.env("CGO_ENABLED", "0").env("GO111MODULE", "off");
            go
        }
        _ => {
            let mut cp = Command::new("cp");
            cp.arg(&source).arg(&built);
            cp
        }
    };
    let status = command.status();
    let status = status.unwrap_or_else(|error| panic!("run {command:?}: {error}"));
    assert!(status.success(), "{command:?}: {status}");
    built
}

/// Runs a program with [`PORT`] once it is let go on; a line tells when the port is held.
pub fn run(program: &[&str]) -> Running {
    run_by(|words| portkeep_as_user(words), program)
}

/// [`run`] by root.
pub fn run_as_root(program: &[&str]) -> Running {
    run_by(|words| portkeep(words), program)
}

fn run_by(portkeep: fn(&[&str]) -> Command, program: &[&str]) -> Running {
    portkeep_tests::without_portkeep();
    let port = format!("{PORT}-{PORT}");
    let wait = r#"echo held; read -r line; exec "$@""#;
    let words = ["run", "--both", &port, "--", "sh", "-c", wait, "sh"];
    let mut run = Running::start(portkeep(&[&words, program].concat()));
    assert_eq!(run.line(), "held");
    run
}

/// Processes that try to get the port all the time.
pub struct Strangers(Vec<Child>);

impl Strangers {
    /// One of another user, which tries everything, and one of the same user. The latter does not ask
    /// to share, which the kernel lets sockets of one user do; see `docs/backends.md`. Of UDP neither
    /// has a device, which passes while an IPv6 socket of the owner binds.
    pub fn start(sandbox: &Sandbox, protocol: &str) -> Self {
        let devices = if protocol == "tcp" { "devices" } else { "none" };
        Self::of(
            sandbox,
            protocol,
            &[(OTHER_USER, "all", devices), (USER, "unshared", devices)],
        )
    }

    /// One of another user that tries everything.
    pub fn start_with_devices(sandbox: &Sandbox, protocol: &str) -> Self {
        Self::of(sandbox, protocol, &[(OTHER_USER, "all", "devices")])
    }

    /// One of the same user that tries everything.
    pub fn start_twin(sandbox: &Sandbox, protocol: &str) -> Self {
        Self::of(sandbox, protocol, &[(USER, "all", "devices")])
    }

    /// One of root that tries everything.
    pub fn start_root(sandbox: &Sandbox, protocol: &str) -> Self {
        Self::of(sandbox, protocol, &[(0, "all", "devices")])
    }

    fn of(sandbox: &Sandbox, protocol: &str, users: &[(u32, &str, &str)]) -> Self {
        let program = build(sandbox, "stranger.c");
        let start = |(user, kinds, devices): &(u32, &str, &str)| {
            let mut command = Command::new(&program);
            command.args([&PORT.to_string(), protocol, *kinds, *devices]);
            command.uid(*user).gid(*user).stdout(Stdio::piped());
            command.spawn().expect("start a stranger")
        };
        Self(users.iter().map(start).collect())
    }

    /// Ends them, once they have tried everything; none of their attempts succeeded.
    #[track_caller]
    pub fn end(self) {
        for (attempts, got) in self.end_and_count() {
            assert_eq!(got, 0, "of {attempts} attempts");
        }
    }

    /// Ends them, once they have tried everything. Returns the number of attempts of each, and how many of
    /// them succeeded.
    pub fn end_and_count(self) -> Vec<(u64, u64)> {
        let end = |mut child: Child| {
            let mut output = BufReader::new(child.stdout.take().expect("a pipe"));
            let mut report = String::new();
            output.read_line(&mut report).expect("read");
            assert_eq!(report, "\n", "a stranger that ended early");
            kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGTERM).expect("kill");
            output.read_to_string(&mut report).expect("read");
            assert!(child.wait().expect("wait").success());
            counts(&report)
        };
        self.0.into_iter().map(end).collect()
    }
}

/// One of the same user tries everything, over and over; all of its attempts are refused.
#[track_caller]
pub fn assert_no_way_in(sandbox: &Sandbox, protocol: &str) {
    const ATTEMPTS: u64 = 1600;
    let mut command = Command::new(build(sandbox, "stranger.c"));
    command.args([
        &PORT.to_string(),
        protocol,
        "all",
        "none",
        &ATTEMPTS.to_string(),
    ]);
    let output = command.uid(USER).gid(USER).output();
    let output = output.expect("start a stranger");
    assert!(output.status.success(), "{output:?}");
    let report = String::from_utf8(output.stdout).expect("two numbers");
    assert_eq!(counts(&report), (ATTEMPTS, 0));
}

fn counts(report: &str) -> (u64, u64) {
    let (attempts, got) = report.trim().split_once(' ').expect("two numbers");
    (
        attempts.parse().expect("a number"),
        got.parse().expect("a number"),
    )
}

/// How long anything on the loopback may take.
pub const LONG: Duration = Duration::from_secs(120);
