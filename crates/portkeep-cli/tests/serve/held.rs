//! `run --serve` without the kernel part: its supervisor lets each port's process in.

use std::process::Command;

use portkeep_tests::{Sandbox, enable, libc, sock, without_portkeep};

use crate::actor::{self, BOUND, CHILD, GRANDCHILD, ITSELF, ORPHAN, REFUSED, bind};
use crate::common::kernel_part::{assert_nothing_reserved, set_ipv4};
use crate::common::{PORTKEEP, Running, eventually};

/// Two processes of the command, each with a port of its own.
fn two(actor: &mut Running) -> [(String, u16); 2] {
    [(); 2].map(|()| {
        let pid = actor.tell("other()");
        let port = actor::number(&actor.tell(&format!("tell({pid}, 'ask()')")));
        (pid, port)
    })
}

/// What comes of a bind in one of them.
fn bind_in(actor: &mut Running, pid: &str, who: &str, port: u16) -> [String; 2] {
    bind(actor, &format!("tell({pid}, \"{who}\")"), port)
}

fn each_binds_to_its_own(actor: &mut Running) {
    let [(one, first), (other, second)] = two(actor);
    assert_ne!(first, second);
    for who in [ITSELF, CHILD, GRANDCHILD] {
        assert_eq!(bind_in(actor, &one, who, first), BOUND, "{who}");
        assert_eq!(bind_in(actor, &one, who, second), REFUSED, "{who}");
        assert_eq!(bind_in(actor, &other, who, second), BOUND, "{who}");
        assert_eq!(bind_in(actor, &other, who, first), REFUSED, "{who}");
    }
    for port in [first, second] {
        assert_eq!(bind(actor, ITSELF, port), REFUSED, "the parent of both");
    }
    assert_eq!(bind_in(actor, &one, ORPHAN, first), REFUSED);
}

pub fn only_the_process_and_its_descendants_bind(_sandbox: &Sandbox) {
    without_portkeep();
    each_binds_to_its_own(&mut actor::run(&["--serve=8"]));
}

pub fn an_ordinary_user_needs_no_kernel_part(_sandbox: &Sandbox) {
    without_portkeep();
    each_binds_to_its_own(&mut actor::run_as_user(&["--serve=8"]));
}

pub fn the_tree_shares_where_asked(_sandbox: &Sandbox) {
    without_portkeep();
    let mut actor = actor::run(&["--serve=8", "--share=tree"]);
    let [(one, first), (_, second)] = two(&mut actor);
    for who in [ITSELF, CHILD, ORPHAN] {
        assert_eq!(bind_in(&mut actor, &one, who, second), BOUND, "{who}");
        assert_eq!(bind(&mut actor, who, first), BOUND, "{who}");
    }
}

pub fn ports_come_back_unless_they_are_in_use(_sandbox: &Sandbox) {
    without_portkeep();
    let mut actor = actor::run(&["--serve=2"]);
    let [(one, first), (other, second)] = two(&mut actor);
    assert_eq!(actor.tell("ask()"), "0");
    assert_eq!(actor.tell(&format!("end({one})")), "ended");
    assert_eq!(actor::ask(&mut actor), first);
    assert_eq!(bind(&mut actor, ITSELF, first), BOUND);
    assert_eq!(actor.tell("ask()"), "0");
    // A socket that a descendant took along outlives the process, and keeps the port from the next one.
    let left = format!(
        "tell({other}, \"keep('tcp', {second}), os.fork() or __import__('time').sleep(1000)\")"
    );
    assert!(actor.tell(&left).contains("kept"));
    let straggler = actor.tell(&format!(
        "open('/proc/{other}/task/{other}/children').read()"
    ));
    assert_eq!(actor.tell(&format!("end({other})")), "ended");
    assert_eq!(actor.tell("ask()"), "0");
    assert_eq!(
        actor.tell(&format!("os.kill({}, 9)", straggler.trim())),
        "None"
    );
    eventually(|| actor.tell("ask()") == second.to_string());
}

pub fn another_number_of_ports(_sandbox: &Sandbox) {
    without_portkeep();
    let mut actor = actor::run(&["--serve=3"]);
    let ports: std::collections::HashSet<_> = (0..3).map(|_| actor::ask(&mut actor)).collect();
    assert_eq!(ports.len(), 3);
    assert_eq!(actor.tell("ask()"), "0");
    let mut actor = actor::run(&["--serve"]);
    for _ in 0..128 {
        actor::ask(&mut actor);
    }
    assert_eq!(actor.tell("ask()"), "0");
}

pub fn beside_ports_of_its_own(_sandbox: &Sandbox) {
    without_portkeep();
    let mut actor = actor::run(&["--tcp", "WEB=2", "--serve=2"]);
    let own = actor.tell("own('tcp')");
    let port = actor::ask(&mut actor);
    assert_eq!(actor.tell("len(own('tcp'))"), "2");
    assert!(!own.contains(&port.to_string()), "{own} has {port}");
    assert_eq!(actor.tell("attempts()").matches("bound").count(), 2);
    assert_eq!(bind(&mut actor, ITSELF, port), BOUND);
    // The command's ports are all its processes', also in one with a port of the server.
    let child = "child(lambda: attempts())";
    assert_eq!(actor.tell(child).matches("bound").count(), 2);
}

/// The kernel part cannot keep connect() from them; sockets can.
pub fn where_the_whole_pool_is_automatic(sandbox: &Sandbox) {
    enable::enable(sandbox);
    set_ipv4("ip_local_port_range", "61000 65535");
    each_binds_to_its_own(&mut actor::run(&["--serve=8"]));
    assert_nothing_reserved(sandbox);
}

pub fn within_another_run(_sandbox: &Sandbox) {
    without_portkeep();
    let outer = ["run", "--quiet", "--tcp", "1", "--serve=4", PORTKEEP];
    // Without a server of its own, the inner command asks the outer one's.
    for inner in [["--serve=4"].as_slice(), &["--tcp", "1"]] {
        let mut command = Command::new(PORTKEEP);
        command.args(outer).args(actor::words(inner));
        let mut actor = Running::start(command);
        let port = actor::ask(&mut actor);
        for who in [ITSELF, CHILD, GRANDCHILD] {
            assert_eq!(bind(&mut actor, who, port), BOUND, "{inner:?}: {who}");
        }
    }
}

pub fn it_lives_as_long_as_a_descendant(_sandbox: &Sandbox) {
    without_portkeep();
    let mut actor = actor::run(&["--serve=2"]);
    let address = actor.tell("os.environ['PORTSERVER_ADDRESS']");
    let file = actor.tell("os.environ['PORTKEEP_SERVER']");
    let child = "os.fork() or (os.setsid(), signal.pause())";
    let child = actor.tell(child);
    actor.write("sys.exit(5)");
    assert_eq!(actor.code(), 5);
    let pid: i32 = child.parse().expect("a process id");
    assert!(crate::client::ask(&address, pid.cast_unsigned()).is_some());
    assert!(std::path::Path::new(&file).exists());
    let pid = nix::unistd::Pid::from_raw(pid);
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).expect("kill it");
    eventually(|| !std::path::Path::new(&file).exists());
    eventually(|| crate::client::connect(&address).is_err());
}

pub fn strangers_are_not_let_in(_sandbox: &Sandbox) {
    without_portkeep();
    let mut actor = actor::run(&["--serve=4"]);
    let port = actor::ask(&mut actor);
    for socket in [sock::tcp4(), sock::tcp6(), sock::udp4()] {
        assert_eq!(sock::bind_any(&socket, port), Err(libc::EADDRINUSE));
    }
    assert_eq!(bind(&mut actor, ITSELF, port), BOUND);
    // One that was handed to a process outside of the command is nobody's in it.
    let mut other = actor::start(&actor.tell("os.environ['PORTSERVER_ADDRESS']"));
    let others = actor::ask(&mut other);
    assert_eq!(bind(&mut actor, ITSELF, others), REFUSED);
    // Nor is it that process's, which no supervisor lets in.
    assert_eq!(bind(&mut other, ITSELF, others), REFUSED);
}
