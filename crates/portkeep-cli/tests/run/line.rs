//! The command line of `run`, with the kernel part and without.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};

use nix::pty::openpty;
use nix::sys::signal::Signal;
use portkeep_tests::ports::probe_free;
use portkeep_tests::{Protocol, Sandbox, enable};

use crate::common::kernel_part::assert_kept;
use crate::common::{EVERYBODY, PORTKEEP, Running, done, eventually, outcome, portkeep, refused};

/// Runs a body with held ports, and again with the kernel part.
fn both(sandbox: &Sandbox, body: impl Fn()) {
    portkeep_tests::without_portkeep();
    body();
    enable::enable(sandbox);
    body();
}

#[track_caller]
fn said(words: &[&str]) -> String {
    done(&mut portkeep([&["run"], words].concat()))
}

pub fn options_end_at_the_command(sandbox: &Sandbox) {
    both(sandbox, || {
        for words in [
            &["--tcp", "1", "echo", "--tcp", "-x", "--", "-h"][..],
            &["--tcp", "1", "--", "echo", "--tcp", "-x", "--", "-h"],
            &["--tcp=1", "echo", "--tcp", "-x", "--", "-h"],
        ] {
            assert_eq!(said(words), "--tcp -x -- -h\n", "{words:?}");
        }
        // A command whose name looks like an option.
        let outcome = outcome(&mut portkeep(["run", "--tcp", "1", "--", "--none"]));
        assert_eq!(outcome.code, Some(127), "{outcome:?}");
    });
}

pub fn names_are_variables_and_placeholders(sandbox: &Sandbox) {
    both(sandbox, || {
        let script = "echo $A $B $PORT $PORTKEEP_TCP $PORTKEEP_UDP \"$@\"";
        let words = [
            "--tcp",
            "A=20000-20001",
            "--udp",
            "B=20005-20005",
            "--tcp",
            "20010-20010",
            "--both",
            "A=20020-20020",
            "sh",
            "-c",
            script,
            "sh",
            "x{A}y",
            "{B}{C}{PORT}",
            "{",
        ];
        assert_eq!(
            said(&words),
            "20000,20001,20020 20005 20000 20000,20001,20010,20020 20005,20020 \
             x20000,20001,20020y 20005{C}{PORT} {\n"
        );
        // The name may be that of the first port.
        let words = [
            "--tcp",
            "20000-20000",
            "--udp",
            "PORT=20001-20001",
            "sh",
            "-c",
            "echo $PORT {PORT}",
        ];
        assert_eq!(said(&words), "20001 20001\n");
        // The program itself is no argument.
        let outcome = outcome(&mut portkeep(["run", "--tcp", "A=1", "./{A}"]));
        assert_eq!(outcome.code, Some(127), "{outcome:?}");
    });
}

pub fn big_counts_are_meant(sandbox: &Sandbox) {
    both(sandbox, || {
        let count = |ports| {
            said(&["--tcp", ports, "sh", "-c", "echo $PORTKEEP_TCP"])
                .split(',')
                .count()
        };
        assert_eq!(count("512"), 512);
        assert_eq!(count("count=600"), 600);
        for words in [
            &["run", "--udp", "3000", "true"][..],
            &["hold", "--udp", "3000"],
        ] {
            let outcome = outcome(&mut portkeep(words));
            assert!(outcome.stderr.contains("write 3000-3000"), "{outcome:?}");
            assert!(outcome.stderr.contains("count=3000"), "{outcome:?}");
        }
    });
}

pub fn its_failures_are_not_the_commands(sandbox: &Sandbox) {
    let _bound = TcpListener::bind("127.0.0.1:20000").expect("bind");
    both(sandbox, || {
        for (words, code) in [
            (&["--tcp", "20000-20000", "true"][..], 125),
            (&["--tcp", "1", "--netns", "/nonexistent", "true"], 125),
            (&["true"], 125),
            (&["--tcp", "1", "/nonexistent"], 127),
            (&["--tcp", "1", "no-such-command"], 127),
            (&["--tcp", "1", "/"], 126),
            (&["--tcp", "1", "/etc/passwd"], 126),
            (&["--tcp", "1", "false"], 1),
            (&["--tcp", "1", "sh", "-c", "exit 125"], 125),
        ] {
            let outcome = outcome(&mut portkeep([&["run"], words].concat()));
            assert_eq!(outcome.code, Some(code), "{words:?}: {outcome:?}");
        }
        for words in [&["run", "--help"][..], &["run", "-h"], &["help", "run"]] {
            assert_eq!(outcome(&mut portkeep(words)).code, Some(0));
        }
    });
}

/// The words of a run in a directory, and what it says.
#[track_caller]
fn in_directory(directory: &Path, words: &[&str]) -> String {
    let mut command = Command::new(fs::canonicalize(PORTKEEP).expect("a path"));
    done(command.arg("run").args(words).current_dir(directory))
}

pub fn a_name_has_the_same_ports_each_time(sandbox: &Sandbox) {
    let directories = ["a", "b"].map(|name| sandbox.state_dir().join(name));
    directories
        .iter()
        .for_each(|it| fs::create_dir(it).expect("make a directory"));
    let [first, second] = &directories;
    let words = [
        "--name",
        "web",
        "--tcp",
        "2",
        "--udp",
        "1",
        "sh",
        "-c",
        "echo $PORTKEEP_TCP $PORTKEEP_UDP",
    ];
    let once = in_directory(first, &words);
    both(sandbox, || {
        for _ in 0..3 {
            assert_eq!(in_directory(first, &words), once);
        }
        assert_ne!(in_directory(second, &words), once);
        let other = in_directory(first, &[&["--name", "db"], &words[2..]].concat());
        assert_ne!(other, once);
        // The one that comes second has others.
        let tcp = once.split([',', ' ']).next().expect("a port");
        let taken = format!("{tcp}-{tcp}");
        let mut holder = Running::start(portkeep(["hold", "--tcp", &taken]));
        assert_eq!(holder.line(), format!("{tcp}/tcp"));
        let now = in_directory(first, &words);
        assert!(!now.contains(tcp), "{now}");
        let udp = once.split(' ').nth(1).expect("a port");
        assert_eq!(now.split(' ').nth(1), Some(udp));
        let shown = outcome(
            portkeep([
                "run",
                "--verbose",
                "--name",
                "x y",
                "--udp",
                udp.trim(),
                "true",
            ])
            .current_dir(first),
        );
        assert_eq!(
            shown.code,
            Some(125),
            "a count that big is a slip: {shown:?}"
        );
        let fixed = format!("{0}-{0}", udp.trim());
        let shown = outcome(&mut portkeep([
            "run",
            "--verbose",
            "--name",
            "web",
            "--udp",
            &fixed,
            "true",
        ]));
        let expected = format!("portkeep: the ports of 'web' are {}/udp\n", udp.trim());
        assert!(shown.stderr.starts_with(&expected), "{shown:?}");
    });
}

/// By an orderly end of the holder, by its death, and by a release that no event tells of.
pub fn it_waits_until_the_ports_are_free(sandbox: &Sandbox) {
    both(sandbox, || {
        for command in EVERYBODY {
            for end in [Signal::SIGTERM, Signal::SIGKILL] {
                let mut holder = Running::start(portkeep(["hold", "--both", "20000-20001"]));
                assert_eq!(holder.line(), "20000-20001/tcp");
                let words = [
                    "run",
                    "--wait",
                    "--tcp",
                    "20001-20002",
                    "--udp",
                    "1",
                    "echo",
                    "had",
                ];
                let mut waiting = Running::start(command(&words));
                let words = ["hold", "--wait=600", "--udp", "20000-20000"];
                let mut other = Running::start(command(&words));
                assert!(waiting.is_alive() && other.is_alive());
                holder.signal(end);
                assert_eq!(waiting.line(), "had");
                assert_eq!(waiting.code(), 0);
                assert_eq!(other.line(), "20000/udp");
                other.signal(Signal::SIGTERM);
                assert_eq!(other.code(), 0);
            }
        }
        let listener = TcpListener::bind("127.0.0.1:20000").expect("bind");
        let mut waiting = Running::start(portkeep([
            "run",
            "--wait",
            "--tcp",
            "20000-20000",
            "echo",
            "had",
        ]));
        drop(listener);
        assert_eq!(waiting.line(), "had");
        assert_eq!(waiting.code(), 0);
    });
}

pub fn it_waits_no_longer_than_it_is_to(sandbox: &Sandbox) {
    let _bound = TcpListener::bind("127.0.0.1:20000").expect("bind");
    both(sandbox, || {
        for wait in ["--wait=0", "--wait=0.2"] {
            let reason = refused(&mut portkeep(["run", wait, "--tcp", "20000-20000", "true"]));
            assert_eq!(reason, "port 20000/tcp is in use by a socket of user root");
            refused(&mut portkeep(["hold", wait, "--tcp", "20000-20000"]));
        }
        // Nothing that passes.
        for ports in ["count=4537", "count=60000"] {
            refused(&mut portkeep(["run", "--wait", "--udp", ports, "true"]));
        }
    });
}

/// On a terminal it says who is in the way; the keys of the terminal reach it.
pub fn waiting_is_told_and_ended_at_the_terminal(sandbox: &Sandbox) {
    both(sandbox, || {
        let mut holder = Running::start(portkeep(["hold", "--tcp", "20000-20000"]));
        assert_eq!(holder.line(), "20000/tcp");
        for words in [
            &["run", "--wait", "--tcp", "20000-20000", "echo", "had"][..],
            &["hold", "--wait", "--tcp", "20000-20000"],
        ] {
            let pty = openpty(None, None).expect("a terminal");
            let terminal = || Stdio::from(pty.slave.try_clone().expect("copy"));
            let mut command = Command::new("setsid");
            command.args(["--ctty", "--wait", PORTKEEP]).args(words);
            command
                .stdin(terminal())
                .stdout(terminal())
                .stderr(terminal());
            let mut child = command.spawn().expect("start it");
            let mut master = fs::File::from(pty.master.try_clone().expect("copy"));
            let expected = format!(
                "portkeep: waiting: port 20000/tcp is reserved by process {} (portkeep), user root",
                holder.pid()
            );
            let mut shown = String::new();
            while !shown.contains('\n') {
                let mut bytes = [0; 1000];
                let length = master.read(&mut bytes).expect("read");
                shown += &String::from_utf8_lossy(&bytes[..length]);
            }
            assert_eq!(shown.trim_end(), expected);
            // Ctrl-C
            master.write_all(b"\x03").expect("write");
            let status = child.wait().expect("wait");
            assert_eq!(status.code(), Some(130), "{words:?}");
        }
        let quiet = Running::start(portkeep([
            "run",
            "--quiet",
            "--wait",
            "--tcp",
            "20000-20000",
            "true",
        ]));
        for signal in [Signal::SIGTERM, Signal::SIGHUP, Signal::SIGINT] {
            let words = ["run", "--wait", "--tcp", "20000-20000", "true"];
            let mut waiting = Running::start(portkeep(words));
            // With the second process it hears signals.
            let pid = waiting.pid();
            let children = format!("/proc/{pid}/task/{pid}/children");
            eventually(|| fs::read_to_string(&children).is_ok_and(|it| !it.is_empty()));
            waiting.signal(signal);
            assert_eq!(waiting.code(), 128 + signal as i32);
        }
        drop(quiet);
        assert_kept(Protocol::Tcp, 20000..=20000);
        drop(holder);
        eventually(|| probe_free(Protocol::Tcp, 20000..=20000).is_empty());
    });
}

/// Which is what people look for; the process is the one that holds the ports.
pub fn lists_show_what_runs(sandbox: &Sandbox) {
    both(sandbox, || {
        for command in EVERYBODY {
            let words = [
                "run",
                "--tcp",
                "20000-20000",
                "/bin/sh",
                "-c",
                "echo up; read line",
            ];
            let mut running = Running::start(command(&words));
            assert_eq!(running.line(), "up");
            let listed = done(&mut command(&["ls", "--columns", "ports,command"]));
            assert_eq!(listed, "PORTS  COMMAND\n20000  sh\n");
            let reason = refused(&mut command(&["run", "--tcp", "20000-20000", "true"]));
            let owner = reason.split("process ").nth(1).expect("a process");
            let (pid, name) = owner.split_once(' ').expect("a name");
            assert!(name.starts_with("(sh), user "), "{reason}");
            // The process itself goes by its own name.
            let comm = fs::read_to_string(format!("/proc/{pid}/comm")).expect("read");
            assert_eq!(comm, "portkeep\n");
            let why = done(&mut command(&["why", "20000/tcp"]));
            assert!(why.contains(&format!("process {pid} (sh)")), "{why}");
            running.go_on();
            assert_eq!(running.code(), 0);
        }
    });
}

/// The command's own words may be "Address already in use", and no more.
pub fn a_failed_command_is_told_who_has_its_port(sandbox: &Sandbox) {
    portkeep_tests::without_portkeep();
    let mut server = Running::start(portkeep(["hold", "--tcp", "20005-20005"]));
    assert_eq!(server.line(), "20005/tcp");
    let bound = TcpListener::bind("127.0.0.1:20006").expect("bind");
    let own = std::process::id();
    let comm = fs::read_to_string("/proc/self/comm").expect("read");
    let bind = |port| format!("import socket; socket.socket().bind(('127.0.0.1', {port}))");
    let stderr = |options: &[&str], program: &str| {
        let words = [
            &["run", "--tcp", "1"],
            options,
            &["/usr/bin/python3", "-c", program],
        ];
        outcome(&mut portkeep(words.concat())).stderr
    };
    for (port, who) in [
        (
            20005,
            format!("reserved by process {} (portkeep), user root", server.pid()),
        ),
        (
            20006,
            format!("in use by process {own} ({}), user root", comm.trim_end()),
        ),
    ] {
        let said = stderr(&[], &bind(port));
        let line = format!("portkeep: the command asked for port {port}, and {port}/tcp is {who}");
        assert_eq!(said.lines().last(), Some(&*line), "{said}");
        assert!(!stderr(&["--quiet"], &bind(port)).contains("portkeep: "));
        // It did without.
        let program = format!(
            "try:\n    {}\nexcept OSError:\n    pass",
            bind(port).replace("; ", "\n    ")
        );
        assert_eq!(stderr(&[], &program), "");
    }
    // It failed for another reason, and had the port itself.
    let said = stderr(&[], &format!("{}; raise SystemExit(3)", bind(20007)));
    assert_eq!(said, "");
    drop(bound);
    // The kernel part refuses the bind with nobody in between who could see it.
    enable::enable(sandbox);
    assert!(!stderr(&[], &bind(20005)).contains("portkeep: "));
}
