//! Reserved ports: by whom and since when.

use jiff::civil::DateTime;
use portkeep_tests::{Channel, Protocol, Sandbox, enable, proc, reservations};

use crate::common::kernel_part::{acquire, the_reservation};
use crate::common::persistent::reserve_for_fleet;
use crate::common::python::python;
use crate::common::{Running, USER, portkeep, portkeep_as_user, user_name};
use crate::{why, words};

/// Takes the time out of the line about a reservation, which is local and passes.
#[track_caller]
fn without_time(line: &str) -> String {
    let (before, rest) = line.split_once(", since ").expect("since when");
    let (time, rest) = rest.split_once(" (").expect("how long ago");
    let (ago, rest) = rest.split_once(" ago)").expect("how long ago");
    assert!(
        DateTime::strptime("%Y-%m-%d %H:%M:%S", time).is_ok(),
        "{line}"
    );
    assert!(ago.ends_with(" s"), "{line}");
    format!("{before}{rest}")
}

pub fn by_a_holder(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let mut holder = Running::start(portkeep(["hold", "--both", "20000-20003"]));
    assert_eq!(
        [holder.line(), holder.line()],
        ["20000-20003/tcp", "20000-20003/udp"]
    );
    let owner = format!("process {} (portkeep), user root", holder.pid());
    for protocol in ["tcp", "udp"] {
        for port in ["20000", "20002", "20003"] {
            let text = words(&format!("{port}/{protocol}"));
            let [line, command] = text.lines().collect::<Vec<_>>()[..] else {
                panic!("{text}")
            };
            let block = format!("with all of 20000-20003/{protocol}.");
            let expected = format!("{port}/{protocol} is reserved by {owner}, {block}");
            assert_eq!(without_time(line), expected);
            let words = format!("{} hold --both 20000-20003", crate::common::PORTKEEP);
            assert_eq!(command, format!("  Its command line: {words}"));
            assert_eq!(why(&format!("{port}/{protocol}"))["state"], "reserved");
        }
    }
    for port in ["19999/tcp", "20004/udp"] {
        assert_eq!(why(port)["state"], "free", "{port}");
    }
}

pub fn a_single_port(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let mut holder = Running::start(portkeep(["hold", "--udp", "20000-20000"]));
    assert_eq!(holder.line(), "20000/udp");
    let text = words("20000/udp");
    let line = without_time(text.lines().next().expect("a line"));
    let owner = format!("process {} (portkeep), user root", holder.pid());
    assert_eq!(line, format!("20000/udp is reserved by {owner}."));
    assert_eq!(why("20000/tcp")["state"], "free");
}

pub fn by_a_run_that_has_bound_it(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let program = python(
        "server = bind('tcp', 20000)
server.listen()
udp = bind('udp', 20001)
say(os.getpid())
wait()",
    );
    let mut command = portkeep(["run", "--both", "20000-20001", "--"]);
    command.args(&program);
    let mut running = Running::start(command);
    let python = running.line_as_pid();
    let holder = reservations::list(sandbox)[0].pid;
    assert_ne!(holder, python.as_raw().cast_unsigned());
    let name = std::fs::read_to_string(format!("/proc/{python}/comm")).expect("the command's name");
    let name = name.trim_end();
    for (port, doing) in [
        ("20000/tcp", "listening on 0.0.0.0:20000"),
        ("20001/udp", "bound to 0.0.0.0:20001"),
    ] {
        let text = words(port);
        let lines: Vec<_> = text.lines().collect();
        let reserver = format!("{port} is reserved by process {holder} ({name}), user root");
        assert!(lines[0].starts_with(&reserver), "{text}");
        let bound = format!("{port} is bound by:");
        let at = lines.iter().position(|line| *line == bound);
        let binder = format!("  process {python} ({name}), user root: {doing}");
        assert_eq!(
            at.map(|at| lines[at + 1..].to_vec()),
            Some(vec![&*binder]),
            "{text}"
        );
        let document = why(port);
        assert_eq!(document["state"], "reserved");
        assert_eq!(document["reservation"]["pid"], holder);
        assert_eq!(
            document["sockets"][0]["processes"][0]["pid"],
            python.as_raw()
        );
    }
    // Reserved and not bound.
    let document = why("20001/tcp");
    assert_eq!(document["state"], "reserved");
    assert_eq!(document["sockets"].as_array().map(Vec::len), Some(0));
    running.go_on();
    assert_eq!(running.code(), 0);
    assert_eq!(why("20001/udp")["state"], "free");
}

pub fn by_another_user(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let mut holder = Running::start(portkeep_as_user(["hold", "--tcp", "20000-20003"]));
    assert_eq!(holder.line(), "20000-20003/tcp");
    let name = user_name(USER);
    let owner = format!("process {} (portkeep), user {name}, since ", holder.pid());
    let text = words("20001/tcp");
    assert!(
        text.starts_with(&format!("20001/tcp is reserved by {owner}")),
        "{text}"
    );
    let document = why("20001/tcp");
    assert_eq!(document["reservation"]["uid"], USER);
    assert_eq!(document["reservation"]["user"], name);
}

/// A descriptor of it has been passed on: the name that is left is the one from the list.
pub fn by_a_process_that_is_gone(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let (own, others) = Channel::pair();
    let child = proc::fork_child(|| {
        others.send_fd(acquire(Protocol::Tcp, 20000..=20003));
        0
    });
    let _socket = own.recv_fd();
    let pid = child.pid();
    assert_eq!(child.code(), 0);
    let entry = the_reservation(sandbox);
    assert_eq!(entry.pid, pid);
    let text = words("20000/tcp");
    let owner = format!("process {pid} ({}), user root", entry.command);
    assert!(
        text.starts_with(&format!("20000/tcp is reserved by {owner}, since ")),
        "{text}"
    );
    assert_eq!(text.lines().count(), 1, "{text}");
}

pub fn in_another_namespace_is_free_here(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let (own, others) = Channel::pair();
    let _elsewhere = proc::fork_child(|| {
        proc::new_netns();
        let _held = acquire(Protocol::Tcp, 20000..=20003);
        others.send(0);
        loop {
            nix::unistd::pause();
        }
    });
    assert_eq!(own.recv(), 0);
    assert_eq!(the_reservation(sandbox).ports, 20000..=20003);
    let document = why("20000/tcp");
    assert_eq!(
        (&document["state"], &document["reservation"]),
        (&"free".into(), &().into())
    );
}

pub fn no_control_code_reaches_the_terminal(sandbox: &Sandbox) {
    enable::enable(sandbox);
    // Before the program, for what is shown of a command line ends somewhere.
    let mut command = portkeep(["run", "--udp", "20000-20000", "--", "env", "NAME=a\x1b[2Jb"]);
    command.args(python(
        "opened = bind('udp', 20000)
open('/proc/self/comm', 'w').write(os.environ['NAME'])
say(os.getpid())
wait()",
    ));
    let mut running = Running::start(command);
    let pid = running.line_as_pid();
    let text = words("20000/udp");
    assert!(
        text.chars()
            .all(|character| character == '\n' || !character.is_control()),
        "{text:?}"
    );
    assert!(text.contains(r"NAME=a\u{1b}[2Jb"), "{text}");
    assert!(
        text.contains(&format!(r"process {pid} (a\u{{1b}}[2Jb)")),
        "{text}"
    );
    running.go_on();
    assert_eq!(running.code(), 0);
}

pub fn by_a_fleet(sandbox: &Sandbox) {
    enable::enable(sandbox);
    reserve_for_fleet(sandbox, "rtp", false, "20000-20003/udp", &["user root"]);
    let line = words("20001/udp")
        .lines()
        .next()
        .expect("a line")
        .to_owned();
    let by = "20001/udp is reserved for user root, by fleet prod, policy rtp, in the kernel since ";
    assert!(line.starts_with(by), "{line}");
    assert_eq!(why("20001/udp")["reservation"]["fleet"]["id"], "rtp");
}
