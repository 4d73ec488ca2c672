//! Clients that mean no good neither stop the server nor deceive it.

use std::collections::HashSet;
use std::io::Write as _;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::process::{self, Command};

use nix::sys::resource::{Resource, setrlimit};
use portkeep_tests::proc::fork_child;
use portkeep_tests::{Sandbox, enable, reservations};

use crate::client::{as_user, ask, connect, say, serve, serve_by};
use crate::common::{USER, eventually, portkeep_as_user};

const AT: &str = "@portkeep-test";

fn connections(number: usize) -> Vec<UnixStream> {
    setrlimit(Resource::RLIMIT_NOFILE, 20_000, 20_000).expect("raise the limit");
    (0..number).map(|_| connect(AT).expect("connect")).collect()
}

pub fn silent_clients_hold_nobody_up(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let _server = serve(AT, &[]);
    for _ in 0..3 {
        let silent = connections(500);
        assert_ne!(ask(AT, process::id()), None);
        drop(silent);
    }
}

pub fn more_connections_than_there_can_be(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let _server = serve(AT, &[]);
    let silent = connections(6000);
    assert_ne!(ask(AT, process::id()), None);
    // Not only root's.
    assert!(as_user(USER, || ask(AT, process::id())).is_some());
    drop(silent);
    // With few descriptors.
    let mut command = crate::common::portkeep(["serve", "--address", "@few"]);
    // SAFETY: the closure makes a system call.
    unsafe {
        command.pre_exec(|| Ok(setrlimit(Resource::RLIMIT_NOFILE, 40, 40)?));
    }
    let _few = serve_by(command, "@few");
    let silent: Vec<_> = (0..100)
        .map(|_| connect("@few").expect("connect"))
        .collect();
    assert_ne!(ask("@few", process::id()), None);
    drop(silent);
}

pub fn a_flood_is_cut_off(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let _server = serve(AT, &[]);
    let mut client = connect(AT).expect("connect");
    let mut written = 0_usize;
    while written < 1 << 24 {
        match client.write(&[b'9'; 65536]) {
            Ok(length) => written += length,
            Err(_) => break,
        }
    }
    assert!(written < 1 << 20, "{written} bytes were taken");
    assert_ne!(ask(AT, process::id()), None);
}

pub fn garbage_gets_nothing(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let _server = serve(AT, &[]);
    let own = process::id();
    for text in [
        "\n",
        "x\n",
        "99Z\n",
        "9 8\n",
        "0x10\n",
        "\0\n",
        "--1\n",
        "1e3\n",
        "٣\n",
        "99999999999999999999999999999999999\n",
        "                     \n",
        "{}\n",
        "-2147483649\n",
        "4294967297\n",
        "18446744073709551617\n",
    ] {
        assert_eq!(say(AT, text.as_bytes()), "", "{text:?}");
    }
    for number in [
        own as i64 + (1 << 32),
        own as i64 - (1 << 32),
        -(own as i64),
    ] {
        assert_eq!(say(AT, format!("{number}\n").as_bytes()), "");
    }
    assert_eq!(say(AT, b"\xff\xfe\n"), "");
    assert_eq!(reservations::list(sandbox), []);
    assert_ne!(ask(AT, own), None);
}

pub fn clients_that_do_not_read_hold_nobody_up(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let _server = serve(AT, &[]);
    for _ in 0..200 {
        let mut client = connect(AT).expect("connect");
        client
            .write_all(format!("{}\n", process::id()).as_bytes())
            .expect("write");
        drop(client);
    }
    let mut unread = connections(200);
    for client in &mut unread {
        let _ = client.write_all(format!("{}\n", process::id()).as_bytes());
    }
    assert_ne!(ask(AT, process::id()), None);
}

/// A process of a user that does nothing.
fn idle(uid: u32) -> process::Child {
    let mut command = Command::new("sleep");
    command.arg("1000").uid(uid).gid(uid);
    command.spawn().expect("start a process")
}

pub fn another_users_process_is_not_theirs_to_ask_for(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let _server = serve(AT, &[]);
    let (mut other, mut own) = (idle(65533), idle(USER));
    let root = process::id();
    for foreign in [root, other.id()] {
        assert_eq!(as_user(USER, || ask(AT, foreign)), None, "{foreign}");
    }
    assert_eq!(reservations::list(sandbox), []);
    assert!(as_user(USER, || ask(AT, own.id())).is_some());
    let owners: HashSet<_> = reservations::list(sandbox)
        .into_iter()
        .map(|it| it.pid)
        .collect();
    assert_eq!(owners, HashSet::from([own.id()]));
    // Root may ask for anybody's.
    assert_ne!(ask(AT, other.id()), None);
    for child in [&mut other, &mut own] {
        child.kill().expect("kill it");
        child.wait().expect("reap it");
    }
    eventually(|| reservations::list(sandbox).is_empty());
}

pub fn another_user_is_not_served_by_an_ordinary_users_server(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let _server = serve_by(portkeep_as_user(["serve", "--address", AT]), AT);
    assert_eq!(as_user(65533, || ask(AT, process::id())), None);
    let mut servers = idle(USER);
    assert_eq!(as_user(65533, || ask(AT, servers.id())), None);
    assert_eq!(reservations::list(sandbox), []);
    assert!(as_user(USER, || ask(AT, process::id())).is_some());
    servers.kill().expect("kill it");
    servers.wait().expect("reap it");
}

pub fn each_user_has_a_limit(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let _server = serve(AT, &["--limit", "5"]);
    let mut greedy = idle(USER);
    // What root asks for counts for root, also where it is the first for this process.
    assert_ne!(ask(AT, greedy.id()), None);
    for expected in [true, true, true, true, true, false, false] {
        assert_eq!(as_user(USER, || ask(AT, greedy.id())).is_some(), expected);
    }
    assert!(as_user(65533, || ask(AT, process::id())).is_some());
    for _ in 0..10 {
        assert_ne!(ask(AT, process::id()), None);
    }
    greedy.kill().expect("kill it");
    greedy.wait().expect("reap it");
    eventually(|| as_user(USER, || ask(AT, process::id())).is_some());
}

pub fn many_processes_at_once_get_ports_of_their_own(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let _server = serve(AT, &[]);
    let (here, there) = portkeep_tests::Channel::pair();
    let go_on = [(); 8].map(|()| portkeep_tests::Event::new());
    let children: Vec<_> = go_on
        .iter()
        .map(|go_on| {
            fork_child(|| {
                for _ in 0..100 {
                    let port = ask(AT, process::id()).expect("a port");
                    let socket = portkeep_tests::sock::tcp4();
                    portkeep_tests::sock::bind_any(&socket, port).expect("bind");
                    there.send(port.into());
                }
                go_on.wait();
                0
            })
        })
        .collect();
    let ports: HashSet<_> = (0..800).map(|_| here.recv()).collect();
    assert_eq!(ports.len(), 800);
    for go_on in &go_on {
        go_on.set();
    }
    for child in children {
        assert_eq!(child.code(), 0);
    }
    eventually(|| reservations::list(sandbox).is_empty());
}
