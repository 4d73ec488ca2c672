//! When the ports cannot be had the command does not run, and the reason is told.

use std::io::{BufRead as _, BufReader};

use portkeep_tests::{Protocol, Sandbox, assert_ok, enable, sock};

use crate::common::kernel_part::{
    acquire, assert_free, assert_kept, assert_nothing_reserved, reserved, set_ipv4,
};
use crate::common::python::python;
use crate::common::{
    EVERYBODY, Running, USER, done, hint, misused, portkeep, portkeep_as_user, refused, user_name,
};
use crate::run_shell;

/// [`refused`] leaves no doubt about it: nothing may be on standard output.
const NEVER: &str = "echo it ran";

pub fn a_reserved_port(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let mut holder = Running::start(portkeep_as_user(["hold", "--tcp", "20001-20002"]));
    assert_eq!(holder.line(), "20001-20002/tcp");
    let before = reserved(sandbox);
    let owner = format!(
        "process {} (portkeep), user {}",
        holder.pid(),
        user_name(USER)
    );
    for option in ["--tcp", "--both"] {
        let reason = refused(&mut run_shell(&[option, "20000-20001"], NEVER));
        assert_eq!(reason, format!("port 20001/tcp is reserved by {owner}"));
        let hint = hint(&mut run_shell(&[option, "20000-20001"], NEVER));
        assert!(hint.contains("`portkeep why 20001/tcp`"), "{hint}");
    }
    assert_eq!(reserved(sandbox), before);
    assert_free(Protocol::Udp, 20000..=20002);
    done(&mut run_shell(&["--udp", "20000-20002"], "true"));
}

pub fn a_bound_port(sandbox: &Sandbox) {
    enable::enable(sandbox);
    for (option, name, socket) in [
        ("--tcp", "tcp", sock::tcp4()),
        ("--udp", "udp", sock::udp6()),
    ] {
        assert_ok!(sock::bind_any(&socket, 20001));
        for option in [option, "--both"] {
            let reason = refused(&mut run_shell(&[option, "20000-20003"], NEVER));
            assert_eq!(
                reason,
                format!("port 20001/{name} is in use by a socket of user root")
            );
            let hint = hint(&mut run_shell(&[option, "20000-20003"], NEVER));
            assert!(
                hint.contains(&format!("`portkeep why 20001/{name}`")),
                "{hint}"
            );
        }
        assert_nothing_reserved(sandbox);
    }
    assert_free(Protocol::Udp, 20000..=20003);
}

pub fn all_or_nothing(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let _taken = acquire(Protocol::Udp, 30000..=30000);
    let before = reserved(sandbox);
    let pid = std::process::id();
    for ports in [
        &["--tcp", "20000-20003", "--udp", "30000-30000"][..],
        &["--udp", "29999-30000", "--tcp", "5"],
        &["--both", "29990-30010"],
        &[
            "--tcp",
            "3",
            "--both",
            "25000-25003",
            "--udp",
            "4",
            "--udp",
            "30000-30001",
        ],
    ] {
        let reason = refused(&mut run_shell(ports, NEVER));
        let owner = format!("port 30000/udp is reserved by process {pid} (");
        assert!(reason.starts_with(&owner), "{ports:?}: {reason}");
        assert!(reason.ends_with("), user root"), "{ports:?}: {reason}");
        assert_eq!(reserved(sandbox), before, "{ports:?}");
    }
    assert_free(Protocol::Tcp, 20000..=20003);
    assert_free(Protocol::Tcp, 29990..=30010);
}

/// The second option finds the first one's ports taken.
pub fn overlapping_options(sandbox: &Sandbox) {
    enable::enable(sandbox);
    for ports in [
        ["--tcp", "20000-20003", "--tcp", "20003-20004"],
        ["--tcp", "20003-20003", "--both", "20003-20003"],
    ] {
        let reason = refused(&mut run_shell(&ports, NEVER));
        assert!(
            reason.starts_with("port 20003/tcp is reserved by process "),
            "{reason}"
        );
        assert_nothing_reserved(sandbox);
    }
    let ports = ["--tcp", "20000-20003", "--udp", "20003-20004"];
    done(&mut run_shell(&ports, "true"));
}

/// The kernel part cannot keep connect() from them, a socket can: the same answer as without it.
pub fn automatic_ports_are_held_by_sockets(sandbox: &Sandbox) {
    enable::enable(sandbox);
    set_ipv4("ip_local_port_range", "32768 60999");
    for start in EVERYBODY {
        let [_, program @ ..] = python("say(own('tcp'), attempts()); wait()");
        let mut words = vec![
            "run",
            "--verbose",
            "--tcp",
            "40000-40001",
            "--tcp",
            "20000-20000",
        ];
        words.push("/usr/bin/python3");
        words.extend(program.iter().map(String::as_str));
        let mut command = start(&words);
        let (reader, writer) = std::io::pipe().expect("make a pipe");
        let mut running = Running::start({
            command.stderr(writer);
            command
        });
        let lines: Vec<_> = BufReader::new(reader)
            .lines()
            .take(3)
            .map(|it| it.expect("read"))
            .collect();
        let held = "portkeep: 40000-40001/tcp is held by sockets, ";
        assert!(lines[0].starts_with(held), "{lines:?}");
        assert_eq!(
            lines[1],
            "portkeep: the ports are kept by Portkeep's kernel part"
        );
        assert!(
            lines[2].starts_with("portkeep: the command binds by "),
            "{lines:?}"
        );
        assert_eq!(
            running.line(),
            "[40000, 40001, 20000] 40000/tcp:bound 40001/tcp:bound 20000/tcp:bound"
        );
        assert_kept(Protocol::Tcp, 40000..=40001);
        assert_eq!(reserved(sandbox), [(Protocol::Tcp, 20000..=20000)]);
        running.go_on();
        assert_eq!(running.code(), 0);
        assert_free(Protocol::Tcp, 40000..=40001);
        assert_nothing_reserved(sandbox);
    }
}

pub fn privileged_ports_to_an_ordinary_user(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let words = ["run", "--tcp", "80-80", "--", "echo", "it ran"];
    assert_eq!(
        refused(&mut portkeep_as_user(words)),
        "port 80/tcp is privileged"
    );
    let hint = hint(&mut portkeep_as_user(words));
    assert!(hint.contains("CAP_NET_BIND_SERVICE"), "{hint}");
    assert_nothing_reserved(sandbox);
    assert_eq!(done(&mut portkeep(words)), "it ran\n");
    set_ipv4("ip_unprivileged_port_start", "80");
    assert_eq!(done(&mut portkeep_as_user(words)), "it ran\n");
}

pub fn a_block_longer_than_the_pool(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let reason = refused(&mut run_shell(&["--tcp", "count=8080"], NEVER));
    assert_eq!(reason, "the pool has no free run of 8080 ports left");
    assert_nothing_reserved(sandbox);
}

pub fn wrong_usage() {
    misused(&["run"]);
    misused(&["run", "--"]);
    misused(&["run", "--tcp", "1"]);
    misused(&["run", "true"]);
    misused(&["run", "--", "true"]);
    misused(&["--bpffs", "/", "run", "true"]);
    misused(&["run", "--verbose", "--quiet", "--tcp", "1", "true"]);
    misused(&["run", "--wait", "--tcp", "1"]);
    misused(&["run", "--wait=x", "--tcp", "1", "true"]);
    misused(&["run", "--tcp", "1", "--unknown", "true"]);
    misused(&["run", "--tcp", "--", "true"]);
    misused(&["run", "--sctp", "1", "--", "true"]);
    for ports in [
        "",
        "0",
        "-",
        "0-5",
        "5-",
        "9-8",
        "65536",
        "1-65536",
        "x",
        "1,2",
        "80/tcp",
        "513",
        "count=0",
        "=1",
        "A=",
        "A-B=1",
        "PATH=1",
        "LD_PRELOAD=1",
        "PORTKEEP_TCP=1",
    ] {
        for option in ["--tcp", "--udp", "--both"] {
            misused(&["run", &format!("{option}={ports}"), "--", "true"]);
        }
    }
}
