//! What a command meets in `./try`, and what is left after it.

#[allow(dead_code, reason = "the command's tests use all of it")]
#[path = "../../crates/portkeep-cli/tests/common/running.rs"]
mod running;

use std::fs::{self, File};
use std::os::fd::AsRawFd as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use libbpf_rs::libbpf_sys as bpf;
use nix::mount::{MsFlags, mount};
use nix::sys::signal::{Signal, killpg};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Gid, Pid, Uid, getpgid, setgroups, setresgid, setresuid};
use portkeep_tests::{
    Sandbox, assert_errno, assert_ok, enable, foreign, proc, raw, reservations, runtime_dir, sock,
    trials, without_portkeep,
};

use running::{Running, eventually};

trials! {
    root:
        it_leaves_nothing,
        strangers_are_kept_out_and_not_served,
        what_the_command_reserves_goes_too,
        a_signal_to_it_reaches_the_command_once,
        a_signal_to_the_group_reaches_the_command_once,
        it_stops_and_continues_with_the_command,
        what_the_command_leaves_running_keeps_its_ports,
        killed_it_leaves_the_command_alone,
        killed_with_the_command_it_is_swept,
        two_at_once_have_ports_of_their_own,
        an_installation_is_used_and_left_alone,
        an_installation_elsewhere_is_left_alone,
        without_root_sockets_hold_the_ports,
        without_a_cgroup_sockets_hold_the_ports;
}

const XTRY: &str = env!("CARGO_BIN_EXE_xtry");
const RUN: &str = "/run";

const KERNEL: &str = "try: the kernel part keeps the ports; it is enabled for this command only\n";
const HELD: &str = "try: bound sockets keep the ports, not the kernel part: ";

/// The command under test, beside ours: `./test` builds all there is.
fn portkeep() -> PathBuf {
    let path = Path::new(XTRY).with_file_name("portkeep");
    assert!(path.exists(), "cargo build --package portkeep-cli");
    path
}

/// `./try` with these words for `portkeep run`.
fn attempt(words: &[&str]) -> Command {
    let mut command = Command::new(XTRY);
    command.arg(portkeep()).args(words);
    // So that the scene is where nothing has been made ready, as for a user.
    command
        .env_remove("PORTKEEP_BPFFS")
        .env_remove("PORTKEEP_STATE_DIR");
    command
}

/// One that runs a script with a TCP port.
fn script(text: &str) -> Command {
    attempt(&["--tcp", "3", "--", "sh", "-c", text])
}

fn output(mut command: Command) -> (Option<i32>, String, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().expect("start the command");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (status.code(), text(stdout), text(stderr))
}

/// Only the sandbox sees what is made in `/run`, and nobody else's.
fn prepare() {
    without_portkeep();
    let none = None::<&str>;
    mount(Some("tmpfs"), RUN, Some("tmpfs"), MsFlags::empty(), none).expect("mount");
}

/// How many programs are attached to a cgroup at the hooks of binds.
fn attached(cgroup: &Path) -> u32 {
    let cgroup = File::open(cgroup).expect("open the cgroup");
    let count = |(_, hook)| {
        let (mut flags, mut count) = (0, 0);
        // SAFETY: the descriptor is open; with no array only the number is written.
        let result = unsafe {
            bpf::bpf_prog_query(
                cgroup.as_raw_fd(),
                hook,
                0,
                &raw mut flags,
                std::ptr::null_mut(),
                &raw mut count,
            )
        };
        assert_eq!(result, 0, "query");
        count
    };
    foreign::BIND.into_iter().map(count).sum()
}

fn left(sandbox: &Sandbox) -> Vec<PathBuf> {
    let inside = sandbox.inside_cgroup();
    let below = |directory: &Path| {
        let entries = fs::read_dir(directory).expect("list it").flatten();
        let entries = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        entries.map(|entry| entry.path()).collect::<Vec<_>>()
    };
    let cgroups = below(sandbox.cgroup()).into_iter().chain(below(&inside));
    let cgroups = cgroups.filter(|cgroup| *cgroup != inside);
    cgroups.chain(below(Path::new(RUN))).collect()
}

#[track_caller]
fn assert_nothing_left(sandbox: &Sandbox) {
    assert_eq!(left(sandbox), [] as [PathBuf; 0]);
    assert_eq!(attached(sandbox.cgroup()), 0);
    assert_errno!(raw::release(sock::udp4(), 0), ENOPROTOOPT);
    let mounts = fs::read_to_string("/proc/self/mounts").expect("the mounts");
    assert!(!mounts.contains("portkeep-try"), "{mounts}");
    let protected = fs::read_to_string("/proc/sys/net/ipv4/ip_local_reserved_ports");
    assert_eq!(protected.expect("the setting").trim(), "");
}

fn it_leaves_nothing(sandbox: &Sandbox) {
    prepare();
    let directory = fs::canonicalize(sandbox.state_dir()).expect("a path");
    let portkeep = portkeep();
    let text = format!(
        "echo $PORTKEEP_TCP; pwd; {0} status | head -2; {0} ls | wc -l; exit 7",
        portkeep.display()
    );
    let mut command = script(&text);
    command.current_dir(&directory);
    let expected = format!(
        "61000,61001,61002\n{}\nenabled           yes\nbackend           kernel\n2\n",
        directory.display()
    );
    let (code, stdout, stderr) = output(command);
    let words = |text: &str| {
        text.split_whitespace()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(words(&stdout), words(&expected));
    assert_eq!((code, stderr.as_str()), (Some(7), KERNEL));
    assert_nothing_left(sandbox);
    // Nor after what never came to run.
    let (code, _, stderr) = output(attempt(&["--tcp", "1", "--", "/nonexistent"]));
    assert_eq!(code, Some(127), "{stderr}");
    assert_nothing_left(sandbox);
    let (code, _, stderr) = output(attempt(&["--tcp", "none", "--", "true"]));
    assert_eq!(code, Some(125), "{stderr}");
    assert_nothing_left(sandbox);
}

/// The first of three ports that sockets hold: they lie at a random place of the pool.
#[track_caller]
fn held_port(line: &str) -> u16 {
    let port = line.trim().parse().expect("a port");
    assert!((61000..=65533).contains(&port), "{port}");
    port
}

fn strangers_are_kept_out_and_not_served(sandbox: &Sandbox) {
    prepare();
    let mut run = Running::start(script("echo $PORT; read -r line"));
    assert_eq!(run.line(), "61000");
    for port in 61000..61003 {
        assert_errno!(sock::bind_any(sock::tcp4(), port), EADDRINUSE);
    }
    assert_ok!(sock::bind_any(sock::tcp4(), 61003));
    assert_errno!(raw::release(sock::udp4(), 0), ENOPROTOOPT);
    run.go_on();
    assert_eq!(run.code(), 0);
    assert_nothing_left(sandbox);
    assert_ok!(sock::bind_any(sock::tcp4(), 61000));
}

fn what_the_command_reserves_goes_too(sandbox: &Sandbox) {
    prepare();
    let text = format!(
        "{} reserve 40000/tcp && cat /proc/sys/net/ipv4/ip_local_reserved_ports",
        portkeep().display()
    );
    let (code, stdout, stderr) = output(script(&text));
    assert_eq!(code, Some(0), "{stderr}");
    assert_eq!(stdout, "40000/tcp reserved\n40000\n");
    assert_nothing_left(sandbox);
    // Killed with everything in there, it cannot take that back itself.
    let text = format!("{text}; read -r line");
    let mut run = Running::start(script(&text));
    assert_eq!(run.line(), "40000/tcp reserved");
    assert_eq!(run.line(), "40000");
    killpg(run.pid(), Signal::SIGKILL).expect("kill");
    run.wait();
    eventually(|| fs::read_to_string(events(sandbox)).is_ok_and(|it| it.contains("populated 0")));
    output(script("true"));
    assert_nothing_left(sandbox);
}

/// What the kernel says of the cgroup that `./try` makes.
fn events(sandbox: &Sandbox) -> PathBuf {
    sandbox.inside_cgroup().join("portkeep-try/cgroup.events")
}

/// A command that says which signals it gets, and ends with 5 after a line of input.
const LISTENS: &str = r#"
import os, signal, sys
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, lambda number, frame: print(signal.Signals(number).name, flush=True))
print("ready", flush=True)
sys.stdin.readline()
sys.exit(5)
"#;

fn listening() -> Running {
    let words = ["--tcp", "1", "--", "/usr/bin/python3", "-c", LISTENS];
    let mut run = Running::start(attempt(&words));
    assert_eq!(run.line(), "ready");
    run
}

/// Whether a signal still waits for a process of the group.
fn is_pending(group: Pid, signal: Signal) -> bool {
    let processes = fs::read_dir("/proc").expect("/proc");
    let pids = processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let mut members = pids
        .map(Pid::from_raw)
        .filter(|pid| getpgid(Some(*pid)) == Ok(group));
    members.any(|pid| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let mask = status.lines().find_map(|line| line.strip_prefix("ShdPnd:"));
        let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
        mask.is_some_and(|mask| mask & (1 << (signal as i32 - 1)) != 0)
    })
}

fn signals(sandbox: &Sandbox, send: impl Fn(&Running, Signal)) {
    prepare();
    let mut run = listening();
    for signal in [
        Signal::SIGINT,
        Signal::SIGTERM,
        Signal::SIGHUP,
        Signal::SIGINT,
    ] {
        send(&run, signal);
        assert_eq!(run.line(), signal.as_str());
        // Two of a kind are one where the first has not been taken yet, in one process of the group or another.
        eventually(|| !is_pending(run.pid(), signal));
    }
    run.go_on();
    // Nothing more has come.
    assert_eq!(run.rest(), "");
    assert_eq!(run.code(), 5);
    assert_nothing_left(sandbox);
}

fn a_signal_to_it_reaches_the_command_once(sandbox: &Sandbox) {
    signals(sandbox, |run, signal| run.signal(signal));
}

fn a_signal_to_the_group_reaches_the_command_once(sandbox: &Sandbox) {
    signals(sandbox, |run, signal| {
        killpg(run.pid(), signal).expect("signal the group");
    });
}

fn it_stops_and_continues_with_the_command(sandbox: &Sandbox) {
    prepare();
    let mut run = Running::start(script("kill -STOP $$; echo on; read -r line; exit 4"));
    let stopped = waitpid(run.pid(), Some(WaitPidFlag::WUNTRACED)).expect("wait");
    assert_eq!(stopped, WaitStatus::Stopped(run.pid(), Signal::SIGSTOP));
    run.signal(Signal::SIGCONT);
    assert_eq!(run.line(), "on");
    run.go_on();
    assert_eq!(run.code(), 4);
    assert_nothing_left(sandbox);
}

fn what_the_command_leaves_running_keeps_its_ports(sandbox: &Sandbox) {
    prepare();
    let fifo = sandbox.state_dir().join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).expect("make a fifo");
    let text = format!("cat {} >/dev/null 2>&1 & exit 3", fifo.display());
    let (code, _, stderr) = output(script(&text));
    assert_eq!((code, stderr.as_str()), (Some(3), KERNEL));
    assert_errno!(sock::bind_any(sock::tcp4(), 61000), EADDRINUSE);
    drop(File::options().write(true).open(&fifo).expect("open it"));
    eventually(|| left(sandbox).is_empty());
    assert_nothing_left(sandbox);
}

fn killed_it_leaves_the_command_alone(sandbox: &Sandbox) {
    prepare();
    let mut run = Running::start(script("echo $PORT; read -r line; echo over"));
    assert_eq!(run.line(), "61000");
    run.signal(Signal::SIGKILL);
    run.wait();
    let (code, stdout, stderr) = output(script("echo $PORT"));
    assert_eq!(code, Some(0));
    assert!(held_port(&stdout) >= 61003);
    assert!(stderr.starts_with(HELD), "{stderr}");
    assert_errno!(sock::bind_any(sock::tcp4(), 61000), EADDRINUSE);
    run.go_on();
    assert_eq!(run.rest(), "over\n");
    eventually(|| attached(sandbox.cgroup()) == 0);
    // Until the last of its processes is gone, Portkeep seems to be in use.
    eventually(|| {
        let (_, stdout, stderr) = output(script("echo $PORT"));
        (stdout.as_str(), stderr.as_str()) == ("61000\n", KERNEL)
    });
    assert_nothing_left(sandbox);
}

fn killed_with_the_command_it_is_swept(sandbox: &Sandbox) {
    prepare();
    let mut run = Running::start(script("echo $PORT; read -r line"));
    assert_eq!(run.line(), "61000");
    killpg(run.pid(), Signal::SIGKILL).expect("kill");
    run.wait();
    // The kernel part goes by itself.
    eventually(|| attached(sandbox.cgroup()) == 0);
    assert_eq!(left(sandbox).len(), 2, "{:?}", left(sandbox));
    // Until the last of the killed processes is gone, sockets hold the ports.
    eventually(|| output(script("true")).2 == KERNEL);
    assert_nothing_left(sandbox);
}

fn two_at_once_have_ports_of_their_own(sandbox: &Sandbox) {
    prepare();
    let mut first = Running::start(script("echo $PORT; read -r line; exit 1"));
    assert_eq!(first.line(), "61000");
    let mut second = Running::start(script("echo $PORT; read -r line; exit 2"));
    let held = held_port(&second.line());
    assert!(held >= 61003);
    for port in (61000..61003).chain(held..held + 3) {
        assert_errno!(sock::bind_any(sock::tcp4(), port), EADDRINUSE);
    }
    // The second knows ports that it is not to be given by their numbers either.
    let (code, _, stderr) = output(attempt(&["--tcp", "61001-61001", "--", "true"]));
    assert_eq!(code, Some(125), "{stderr}");
    for (mut run, code) in [(first, 1), (second, 2)] {
        run.go_on();
        assert_eq!(run.code(), code);
    }
    assert_nothing_left(sandbox);
    // Whoever comes first, both get theirs.
    let both = [0, 1].map(|_| Running::start(script("echo $PORT; read -r line")));
    let mut ports = both.map(|mut run| {
        let port = run.line();
        run.go_on();
        (run.code(), port)
    });
    ports.sort();
    assert!(ports.iter().all(|(code, _)| *code == 0), "{ports:?}");
    assert_nothing_left(sandbox);
}

fn an_installation_is_used_and_left_alone(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let owner = sock::tcp4();
    assert_ok!(raw::acquire4(&owner, 61000, 2));
    let before = (reservations::list(sandbox), attached(sandbox.cgroup()));
    let mut command = script("echo $PORT");
    command.env("PORTKEEP_BPFFS", sandbox.bpffs());
    let (code, stdout, stderr) = output(command);
    assert_eq!((code, stdout.as_str()), (Some(0), "61002\n"));
    let words = "try: Portkeep is enabled on this machine already; the command uses that\n";
    assert_eq!(stderr, words);
    let after = (reservations::list(sandbox), attached(sandbox.cgroup()));
    assert_eq!(before, after);
    assert_eq!(raw::version(&owner), Ok(1));
}

fn an_installation_elsewhere_is_left_alone(sandbox: &Sandbox) {
    without_portkeep();
    let beside = sandbox.cgroup().join("beside");
    fs::create_dir(&beside).expect("make a cgroup");
    let mut options = enable::options(sandbox);
    options.control = vec![beside.clone()];
    enable::enable_with(&options);
    let code = proc::in_cgroup(&beside, || {
        let owner = sock::tcp4();
        assert_ok!(raw::acquire4(&owner, 61000, 2));
        let child = proc::fork_child(|| {
            proc::enter_cgroup(&sandbox.inside_cgroup());
            let mut command = script("echo $PORT");
            command.env("PORTKEEP_BPFFS", sandbox.bpffs());
            let (code, stdout, stderr) = output(command);
            assert_eq!(code, Some(0));
            assert!(held_port(&stdout) >= 61002);
            assert!(stderr.starts_with(HELD), "{stderr}");
            0
        });
        assert_eq!(child.code(), 0);
        assert_eq!(reservations::list(sandbox).len(), 1);
        0
    });
    assert_eq!(code, 0);
}

/// Runs it as an ordinary user, who may not pass through the directories above the programs.
fn without_root_sockets_hold_the_ports(sandbox: &Sandbox) {
    prepare();
    let mut command = Command::new("./xtry");
    command
        .arg("./portkeep")
        .current_dir(portkeep().parent().expect("a directory"));
    command.args(["--tcp", "3", "--", "sh", "-c", "echo $PORT; exit 6"]);
    command.env("XDG_RUNTIME_DIR", runtime_dir(65534));
    // Once it is in the directory.
    let become_user = || {
        let (uid, gid) = (Uid::from_raw(65534), Gid::from_raw(65534));
        setgroups(&[])?;
        setresgid(gid, gid, gid)?;
        Ok(setresuid(uid, uid, uid)?)
    };
    // SAFETY: the closure makes three system calls and allocates nothing.
    unsafe { command.pre_exec(become_user) };
    let (code, stdout, stderr) = output(command);
    assert_eq!(code, Some(6), "{stderr}");
    held_port(&stdout);
    assert_eq!(stderr, format!("{HELD}that takes root\n"));
    assert_nothing_left(sandbox);
}

fn without_a_cgroup_sockets_hold_the_ports(sandbox: &Sandbox) {
    prepare();
    for cgroup in ["/nonexistent", "/run"] {
        let mut command = script("echo $PORT; exit 6");
        command.env("PORTKEEP_CGROUP", cgroup);
        let (code, stdout, stderr) = output(command);
        assert_eq!(code, Some(6), "{stderr}");
        held_port(&stdout);
        assert!(stderr.contains(HELD), "{stderr}");
        assert_nothing_left(sandbox);
    }
}
