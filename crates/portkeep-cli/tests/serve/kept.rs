//! Ports that the kernel part keeps.

use std::os::unix::process::CommandExt as _;
use std::process::{self, Command};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::Signal;
use portkeep_tests::{Protocol, Sandbox, enable, reservations};

use crate::actor::{self, BOUND, CHILD, GRANDCHILD, ITSELF, ORPHAN, REFUSED, bind};
use crate::client::{ask, serve, serve_by};
use crate::common::kernel_part::{assert_free, assert_kept, assert_nothing_reserved};
use crate::common::{USER, done, eventually, portkeep, portkeep_as_user};

const AT: &str = "@portkeep-test";

/// A process of its own that does nothing.
struct Idle(process::Child);

impl Idle {
    fn start() -> Self {
        Self(
            Command::new("sleep")
                .arg("1000")
                .spawn()
                .expect("start a process"),
        )
    }
}

impl Drop for Idle {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub fn only_the_process_and_its_descendants_bind(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let _server = serve(AT, &[]);
    let (mut one, mut other) = (actor::start(AT), actor::start(AT));
    let (first, second) = (actor::ask(&mut one), actor::ask(&mut other));
    assert_ne!(first, second);
    for who in [ITSELF, CHILD, GRANDCHILD] {
        assert_eq!(bind(&mut one, who, first), BOUND, "{who}");
        assert_eq!(bind(&mut one, who, second), REFUSED, "{who}");
        assert_eq!(bind(&mut other, who, first), REFUSED, "{who}");
        assert_eq!(bind(&mut other, who, second), BOUND, "{who}");
    }
    assert_eq!(bind(&mut one, ORPHAN, first), REFUSED);
    for protocol in [Protocol::Tcp, Protocol::Udp] {
        assert_kept(protocol, first..=first);
    }
}

pub fn the_list_and_refusals_name_the_process(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let mut server = serve(AT, &[]);
    let idle = Idle::start();
    let port = ask(AT, idle.0.id()).expect("a port");
    let entries = reservations::list(sandbox);
    assert_eq!(entries.len(), 2);
    for entry in entries {
        assert_eq!((entry.pid, entry.command.as_str()), (idle.0.id(), "sleep"));
        assert_eq!(entry.ports, port..=port);
        assert_eq!(entry.flags, "process,tree");
    }
    let why = done(&mut portkeep(["why", &format!("{port}/tcp")]));
    assert!(
        why.contains(&idle.0.id().to_string()) && why.contains("sleep"),
        "{why}"
    );
    let list = done(&mut portkeep(["ls"]));
    assert!(list.contains("sleep"), "{list}");
    server.signal(Signal::SIGTERM);
    server.wait();
}

pub fn ports_come_back_and_go_out_last(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let _server = serve(AT, &[]);
    let idle = Idle::start();
    let ports: Vec<_> = (0..5)
        .map(|_| ask(AT, idle.0.id()).expect("a port"))
        .collect();
    drop(idle);
    eventually(|| reservations::list(sandbox).is_empty());
    for port in &ports {
        assert_free(Protocol::Tcp, *port..=*port);
    }
    for _ in 0..50 {
        let port = ask(AT, process::id()).expect("a port");
        assert!(!ports.contains(&port));
    }
}

pub fn a_pool_is_used_up_and_used_again(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let _server = serve(AT, &["--pool", "20000-20003"]);
    let idle = Idle::start();
    let mut ports: Vec<_> = (0..4)
        .map(|_| ask(AT, idle.0.id()).expect("a port"))
        .collect();
    ports.sort_unstable();
    assert_eq!(ports, [20000, 20001, 20002, 20003]);
    for _ in 0..3 {
        assert_eq!(ask(AT, process::id()), None);
    }
    // Who asks at once after the end gets them: it is looked for then.
    drop(idle);
    let mut ports: Vec<_> = (0..4)
        .map(|_| ask(AT, process::id()).expect("a port"))
        .collect();
    ports.sort_unstable();
    assert_eq!(ports, [20000, 20001, 20002, 20003]);
}

pub fn the_end_of_the_server_frees_the_ports(sandbox: &Sandbox) {
    enable::enable(sandbox);
    for number in [Signal::SIGTERM, Signal::SIGKILL] {
        let mut server = serve(AT, &[]);
        let port = ask(AT, process::id()).expect("a port");
        assert_eq!(reservations::list(sandbox).len(), 2);
        server.signal(number);
        server.wait();
        assert_nothing_reserved(sandbox);
        assert_free(Protocol::Tcp, port..=port);
    }
}

pub fn a_port_for_another_process_is_that_ones(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let _server = serve(AT, &[]);
    let mut actor = actor::start(AT);
    let child = actor.tell("other()");
    let port = actor::number(&actor.tell(&format!("ask({child})")));
    // The parent of the process is no descendant of it.
    assert_eq!(bind(&mut actor, ITSELF, port), REFUSED);
    let in_child = format!("tell({child}, \"ATTEMPT\")")
        .replace("ATTEMPT", &format!("attempt('tcp', {port})"));
    assert_eq!(actor.tell(&in_child), "bound");
    assert_eq!(actor.tell(&format!("end({child})")), "ended");
    eventually(|| reservations::list(sandbox).is_empty());
}

pub fn a_user_shares_where_asked(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let _server = serve(AT, &["--share", "user"]);
    let (mut one, mut other) = (actor::start(AT), actor::start(AT));
    let port = actor::ask(&mut one);
    assert_eq!(bind(&mut other, ITSELF, port), BOUND);
    assert_eq!(bind(&mut one, ORPHAN, port), BOUND);
    let stranger = portkeep_tests::proc::as_uid(USER, USER, || {
        let socket = portkeep_tests::sock::tcp4();
        portkeep_tests::sock::bind_any(&socket, port)
            .err()
            .unwrap_or(0)
    });
    assert_eq!(stranger, portkeep_tests::libc::EADDRINUSE);
}

pub fn an_ordinary_users_server(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let _server = serve_by(portkeep_as_user(["serve", "--address", AT]), AT);
    let port = crate::client::as_user(USER, || {
        let port = ask(AT, process::id())?;
        let socket = portkeep_tests::sock::tcp4();
        portkeep_tests::sock::bind_any(&socket, port).ok()?;
        Some(port)
    });
    assert!(port.is_some());
    // Root may ask for a process of that user.
    let idle = {
        use std::os::unix::process::CommandExt as _;
        let mut command = Command::new("sleep");
        Idle(
            command
                .arg("1000")
                .uid(USER)
                .gid(USER)
                .spawn()
                .expect("start a process"),
        )
    };
    assert_ne!(ask(AT, idle.0.id()), None);
    // But not for root's own: the server cannot hand anything to it.
    assert_eq!(ask(AT, process::id()), None);
}

pub fn the_server_of_a_command(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let mut actor = actor::run(&["--serve"]);
    let file = actor.tell("os.environ['PORTKEEP_SERVER']");
    let directory = std::path::Path::new(&file)
        .parent()
        .expect("a directory")
        .to_owned();
    let mode = std::fs::metadata(&directory)
        .expect("the directory")
        .permissions();
    assert_eq!(
        std::os::unix::fs::PermissionsExt::mode(&mode) & 0o7777,
        0o700
    );
    let first = actor::ask(&mut actor);
    let second = actor::number(&actor.tell(&format!("ask(0, '{file}')")));
    assert_ne!(first, second);
    for port in [first, second] {
        assert_eq!(bind(&mut actor, ITSELF, port), BOUND);
        assert_eq!(bind(&mut actor, CHILD, port), BOUND);
        assert_eq!(bind(&mut actor, ORPHAN, port), REFUSED);
        assert_kept(Protocol::Udp, port..=port);
    }
    let address = actor.tell("os.environ['PORTSERVER_ADDRESS']");
    // Its caller is served as well.
    assert_ne!(ask(&address, process::id()), None);
    assert_eq!(
        actor.tell("'PORTKEEP_TCP' in os.environ or 'PORT' in os.environ"),
        "False"
    );
    assert_eq!(actor.tell("sys.exit(7)"), "");
    assert_eq!(actor.code(), 7);
    assert!(!directory.exists());
    assert_nothing_reserved(sandbox);
}

/// More than the command may have descriptors: the server has one for each.
const MANY: &str = r#"
import os, resource, signal, socket
assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == 64
reader, writer = os.pipe()
children = []
for _ in range(100):
    if (child := os.fork()) == 0:
        with socket.socket(socket.AF_UNIX) as server:
            server.connect(os.environ["PORTSERVER_ADDRESS"].replace("@", "\0"))
            server.sendall(b"%d\n" % os.getpid())
            os.write(writer, server.makefile("rb").read() or b"none\n")
        signal.pause()
    children.append(child)
said = b""
while said.count(b"\n") < 100:
    said += os.read(reader, 4096)
for child in children:
    os.kill(child, signal.SIGKILL)
print(len(set(said.split())), b"none" in said)
"#;

pub fn many_processes_of_a_command(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let mut command = portkeep(["run", "--serve", "python3", "-c", MANY]);
    // SAFETY: the closure makes system calls.
    unsafe {
        command.pre_exec(|| {
            let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
            Ok(setrlimit(Resource::RLIMIT_NOFILE, 64, hard)?)
        });
    }
    let output = command.output().expect("run");
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(said, "100 False\n", "{output:?}");
}

pub fn an_orphan_is_let_in_where_the_tree_shares(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let mut actor = actor::run(&["--serve", "--share", "tree"]);
    let port = actor::ask(&mut actor);
    for who in [ITSELF, CHILD, ORPHAN] {
        assert_eq!(bind(&mut actor, who, port), BOUND, "{who}");
    }
    assert_kept(Protocol::Tcp, port..=port);
}
