//! One of the nodes is this machine, with its agent's process and its kernel part.

use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use portkeep_admin::Kind;
use portkeep_tests::libc::EADDRINUSE;
use portkeep_tests::{Sandbox, sock};

use crate::common::{fails, fleet, ok};
use crate::node::{self, range, stranger};
use crate::nodes::Node;
use crate::{document, until};

const WEB: [&str; 4] = ["reserve", "web", "40000-40003/tcp", "--on=all"];

/// This machine as node `a`, and another one.
fn two(sandbox: &Sandbox) -> (node::Node<'_>, Node) {
    let here = node::Node::started(sandbox);
    ok(fleet(&here.etcd, "root").args(["node", "add", "b"]));
    let other = Node::start(&here.etcd, "b", "", Arc::new(Mutex::default()));
    until("both are connected", || {
        let listed = ok(fleet(&here.etcd, "operator").args(["node", "ls"]));
        listed.matches(" connected").count() == 2
    });
    (here, other)
}

pub fn a_socket_in_the_way_is_named(sandbox: &Sandbox) {
    let (here, other) = two(sandbox);
    let operator = || fleet(&here.etcd, "operator");
    let taken = sock::tcp4();
    sock::bind_any(&taken, 40001).expect("bind");
    sock::listen(&taken).expect("listen");
    let pid = format!("(pid {}, user root)", std::process::id());
    let dry = operator().args(WEB).arg("--dry-run").output().expect("run");
    let said = String::from_utf8_lossy(&dry.stdout);
    assert_eq!(dry.status.code(), Some(1));
    assert!(said.contains("on 2 nodes: 1 can, 1 cannot"), "{said}");
    assert!(
        said.contains("a     40001/tcp  socket of") && said.contains(&pid),
        "{said}"
    );
    let said = fails(operator().args(WEB), 1);
    assert!(
        said.contains("is reserved on no node: 1 of 2 cannot"),
        "{said}"
    );
    assert!(
        said.contains("a     40001/tcp  socket of") && said.contains(&pid),
        "{said}"
    );
    assert_eq!(stranger(40000), None);
    assert!(other.ports().is_empty());
    drop(taken);
    let said = ok(operator().args(WEB));
    assert!(
        said.contains("reserved on 2 nodes (web, generation 1)"),
        "{said}"
    );
    // Done means that the kernel refuses everybody else.
    assert_eq!(stranger(40000), Some(EADDRINUSE));
    assert_eq!(stranger(40003), Some(EADDRINUSE));
    assert_eq!(other.ports(), ["40000-40003/tcp"]);
    let said = fails(
        operator().args(["reserve", "api", "40002/tcp", "--on=all"]),
        1,
    );
    assert!(
        said.contains("a     40002/tcp") && said.contains("fleet test"),
        "{said}"
    );
    let said = ok(operator().args(["unreserve", "web"]));
    assert!(said.contains("web is released on 2 nodes"), "{said}");
    assert_eq!(stranger(40000), None);
    // A user that this machine does not have.
    let said = fails(operator().args(WEB).arg("--user=no-such-user"), 1);
    assert!(said.contains("no-such-user"), "{said}");
    assert_eq!(stranger(40000), None);
}

pub fn taken_out_by_force_is_drift(sandbox: &Sandbox) {
    let (here, _other) = two(sandbox);
    let operator = || fleet(&here.etcd, "operator");
    ok(operator().args(WEB));
    let ports = [range("40000-40003/tcp")];
    let keeper = here.keeper();
    keeper
        .remove_by_force(Kind::Reservation, &ports, None)
        .expect("by force");
    until("the agent has said so", || {
        let drift = operator().arg("drift").output().expect("run");
        drift.status.code() == Some(3)
    });
    let drift = operator().args(["drift", "--json"]).output().expect("run");
    let drift = document("drift", &String::from_utf8(drift.stdout).expect("UTF-8"));
    let found = &drift["differences"][0];
    assert_eq!(
        (&found["node"], &found["standing"]),
        (&"a".into(), &"lost".into())
    );
    assert_eq!(stranger(40000), None);
    let said = ok(operator().args(["repair", "a"]));
    assert!(said.contains("a     web     enforced"), "{said}");
    assert_eq!(stranger(40000), Some(EADDRINUSE));
    ok(operator().arg("drift"));
}

pub fn a_node_that_was_down_takes_it_over(sandbox: &Sandbox) {
    let (mut here, other) = two(sandbox);
    here.kill();
    // Its lease ends.
    until("it is not connected", || {
        let listed = ok(fleet(&here.etcd, "operator").args(["node", "ls"]));
        listed.contains("not heard of")
    });
    let said = fails(fleet(&here.etcd, "operator").args(WEB), 1);
    assert!(
        said.contains("a     -     its agent is not connected"),
        "{said}"
    );
    ok(fleet(&here.etcd, "operator").args(WEB).arg("--skip-down"));
    assert_eq!(other.ports(), ["40000-40003/tcp"]);
    assert_eq!(stranger(40000), None);
    here.start();
    until("it holds it", || stranger(40000) == Some(EADDRINUSE));
    until("and says so", || {
        crate::status(&here.etcd)[0]["enforced"] == 2
    });
    // It keeps it while it is dead, and hears of the end when it is back.
    here.kill();
    let said = ok(fleet(&here.etcd, "operator").args(["unreserve", "web", "--wait=1"]));
    assert!(
        said.contains("stays closed on these nodes until they hear of that: a"),
        "{said}"
    );
    assert_eq!(stranger(40000), Some(EADDRINUSE));
    here.start();
    until("it has released it", || stranger(40000).is_none());
}

pub fn exclusions_keep_nobody_out(sandbox: &Sandbox) {
    let (here, _other) = two(sandbox);
    let operator = || fleet(&here.etcd, "operator");
    let taken = sock::tcp4();
    sock::bind_any(&taken, 40001).expect("bind");
    ok(operator().args(["exclude", "soft", "40000-40003/tcp", "--on=all"]));
    assert_eq!(stranger(40000), None);
    let protected = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_reserved_ports");
    assert!(protected.expect("the setting").contains("40000-40003"));
    ok(operator().args(["change", "soft", "40002-40007/tcp"]));
    assert_eq!(stranger(40002), None);
    let protected = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_reserved_ports");
    let protected = protected.expect("the setting");
    assert!(
        protected.contains("40002-40007") && !protected.contains("40000"),
        "{protected}"
    );
    ok(operator().args(["unreserve", "soft"]));
    let protected = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_reserved_ports");
    assert!(!protected.expect("the setting").contains("4000"));
}

/// Strangers that try to bind these ports all the time.
struct Strangers {
    over: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<(Vec<u16>, u64)>,
}

impl Strangers {
    fn at(ports: [u16; 2]) -> Strangers {
        let over = Arc::new(AtomicBool::new(false));
        let stop = over.clone();
        let thread = std::thread::spawn(move || {
            let (mut bound, mut tried) = (Vec::new(), 0);
            while !stop.load(Ordering::Relaxed) {
                for port in ports {
                    tried += 1;
                    bound.extend(stranger(port).is_none().then_some(port));
                }
            }
            (bound, tried)
        });
        Strangers { over, thread }
    }

    fn never_bound(self) {
        self.over.store(true, Ordering::Relaxed);
        let (bound, tried) = self.thread.join().expect("the strangers");
        assert!(tried > 0 && bound.is_empty(), "{bound:?} of {tried} binds");
    }
}

pub fn a_change_opens_nothing(sandbox: &Sandbox) {
    let (here, _other) = two(sandbox);
    let operator = || fleet(&here.etcd, "operator");
    ok(operator().args(WEB));
    let strangers = Strangers::at([40002, 40003]);
    let taken = sock::tcp4();
    sock::bind_any(&taken, 40008).expect("bind");
    let said = fails(operator().args(["change", "web", "40002-40010/tcp"]), 1);
    assert!(said.contains("a     40008/tcp"), "{said}");
    assert_eq!((stranger(40000), stranger(40004)), (Some(EADDRINUSE), None));
    drop(taken);
    let said = ok(operator().args(["change", "web", "40002-40010/tcp"]));
    assert!(
        said.contains("40002-40010/tcp reserved on 2 nodes (web, generation 2)"),
        "{said}"
    );
    assert_eq!((stranger(40000), stranger(40010)), (None, Some(EADDRINUSE)));
    // Back, and smaller.
    ok(operator().args(["change", "web", "40002-40003/tcp"]));
    assert_eq!((stranger(40004), stranger(40003)), (None, Some(EADDRINUSE)));
    // The same ports for a user. The one before is closed to this user as to all.
    assert_eq!(node::stranger_as_nobody(40003), Some(EADDRINUSE));
    ok(operator().args(["change", "web", "40002-40003/tcp", "--user=nobody"]));
    assert_eq!(node::stranger_as_nobody(40003), None);
    // Many times.
    for ports in ["40000-40003/tcp", "40002-40005/tcp"].repeat(4) {
        ok(operator().args(["change", "web", ports]));
    }
    strangers.never_bound();
    ok(operator().args(["unreserve", "web"]));
    assert_eq!((stranger(40002), stranger(40003)), (None, None));
    assert_eq!(here.keeper().fleet_entries().expect("entries"), []);
}

/// Between any two steps of this machine's.
pub fn a_change_opens_nothing_when_the_agent_dies(sandbox: &Sandbox) {
    let (mut here, other) = two(sandbox);
    ok(fleet(&here.etcd, "operator").args(WEB));
    let strangers = Strangers::at([40002, 40003]);
    // Wider, elsewhere in part, narrower: of the last nothing is new.
    let versions = [
        "40000-40007/tcp",
        "40002-40009/tcp",
        "40002-40005/tcp",
        "40000-40003/tcp",
    ];
    let mut versions = versions.iter().cycle();
    for point in [
        "agent.note:after",
        "agent.create:before",
        "agent.create:after",
        "agent.delete:before",
        "agent.delete:after",
        "agent.erase:before",
        "agent.erase:after",
    ] {
        for _ in 0..2 {
            let ports = *versions.next().expect("a version");
            here.kill();
            here.start_to_die(point);
            here.wait_until_acting();
            let mut change = fleet(&here.etcd, "operator");
            let change = change.args(["change", "web", ports]);
            let mut change = change.stdout(Stdio::null()).spawn().expect("run");
            until("the agent dies", || here.has_died());
            here.start();
            let status = change.wait().expect("wait");
            assert!(status.success(), "{point} {ports}");
            until("nothing is left of the old one", || {
                ok(fleet(&here.etcd, "operator").arg("repair"));
                let entries = here.keeper().fleet_entries().expect("entries");
                let done = crate::status(&here.etcd)
                    .as_array()
                    .expect("policies")
                    .len()
                    == 1;
                done && entries.len() == 1 && entries[0].enforced
            });
            let entries = here.keeper().fleet_entries().expect("entries");
            assert_eq!(entries[0].ports, [range(ports)], "{point}");
            assert_eq!(other.ports(), [ports], "{point}");
        }
    }
    strangers.never_bound();
}

/// It reads the end of the old ports and the decision for the new ones at once.
pub fn a_node_that_slept_through_a_change(sandbox: &Sandbox) {
    let (mut here, other) = two(sandbox);
    ok(fleet(&here.etcd, "operator").args(WEB));
    let strangers = Strangers::at([40002, 40003]);
    here.kill();
    until("it is not connected", || {
        let listed = ok(fleet(&here.etcd, "operator").args(["node", "ls"]));
        listed.contains("not heard of")
    });
    let change = ["change", "web", "40002-40009/tcp", "--skip-down"];
    ok(fleet(&here.etcd, "operator").args(change));
    assert_eq!(other.ports(), ["40002-40009/tcp"]);
    assert_eq!((stranger(40000), stranger(40009)), (Some(EADDRINUSE), None));
    // It would release the first ports before it has the third ones.
    let again = ["change", "web", "40003-40009/tcp", "--skip-down"];
    let said = fails(fleet(&here.etcd, "operator").args(again), 1);
    assert!(
        said.contains("web stays as it is: 1 of 2 cannot")
            && said.contains("a     -     it has not completed the last change yet"),
        "{said}"
    );
    assert_eq!(other.ports(), ["40002-40009/tcp"]);
    // In the way of the new ports there, which is a conflict: it keeps the old ones until that is gone.
    let taken = sock::tcp4();
    sock::bind_any(&taken, 40005).expect("bind");
    here.start();
    until("it says so", || {
        let all = crate::status(&here.etcd);
        let mut all = all.as_array().expect("policies").iter();
        all.any(|policy| policy["conflict"] == 1)
    });
    assert_eq!((stranger(40000), stranger(40009)), (Some(EADDRINUSE), None));
    let drift = fleet(&here.etcd, "operator").arg("drift").output();
    assert_eq!(drift.expect("run").status.code(), Some(3));
    drop(taken);
    let said = ok(fleet(&here.etcd, "operator").args(["repair", "a"]));
    assert!(said.contains("a     web     enforced"), "{said}");
    assert!(said.contains("was ending: nothing is left of it"), "{said}");
    assert_eq!(stranger(40000), None);
    assert_eq!(stranger(40009), Some(EADDRINUSE));
    strangers.never_bound();
    ok(fleet(&here.etcd, "operator").args(["change", "web", "40003-40009/tcp"]));
    assert_eq!((stranger(40002), stranger(40003)), (None, Some(EADDRINUSE)));
}

/// The first wave is this machine; what it enforces stays while the next one is refused, and over the next decision.
pub fn waves_that_stop_and_go_on(sandbox: &Sandbox) {
    let (here, other) = two(sandbox);
    let waves = ["--waves=1,100%", "--user=daemon"];
    let command = || {
        let mut command = fleet(&here.etcd, "operator");
        command.args(WEB).args(waves);
        command
    };
    let taken = node::range("40002/tcp").into();
    other.machine.lock().expect("a machine").stranger = Some(taken);
    let said = fails(&mut command(), 1);
    assert!(
        said.contains("40000-40003/tcp is reserved on 1 of 2 nodes, wave 2 of 2: 1 of 2 cannot"),
        "{said}"
    );
    assert!(said.contains("b     40002/tcp"), "{said}");
    assert_eq!(stranger(40000), Some(EADDRINUSE));
    assert!(other.ports().is_empty());
    let strangers = Strangers::at([40000, 40003]);
    fails(&mut command(), 1);
    other.machine.lock().expect("a machine").stranger = None;
    let said = ok(&mut command());
    assert!(
        said.contains("40000-40003/tcp reserved on 2 nodes (web, generation 2)"),
        "{said}"
    );
    strangers.never_bound();
    assert_eq!(other.ports(), ["40000-40003/tcp"]);
    let entries = here.keeper().fleet_entries().expect("entries");
    assert_eq!((entries.len(), entries[0].enforced), (1, true));
    assert_eq!(entries[0].consumers, ["user daemon"]);
    ok(fleet(&here.etcd, "operator").args(["unreserve", "web"]));
    assert_eq!(stranger(40000), None);
}

/// Who uses the ports of an exclusion, before it is made a reservation.
pub fn strangers_at_an_exclusion(sandbox: &Sandbox) {
    let (here, _other) = two(sandbox);
    let operator = || fleet(&here.etcd, "operator");
    ok(operator().args(["exclude", "soft", "40000-40003/tcp", "--on=all"]));
    let taken = sock::tcp4();
    sock::bind_any(&taken, 40001).expect("bind");
    sock::listen(&taken).expect("listen");
    let strangers = |more: &[&str], status: i32| {
        let mut command = operator();
        let output = command.args(["strangers", "soft", "--json"]).args(more);
        let output = output.output().expect("run");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(status), "{errors}");
        document(
            "strangers",
            &String::from_utf8(output.stdout).expect("UTF-8"),
        )
    };
    let found = strangers(&[], 3);
    assert_eq!(
        (&found["nodes"], &found["strangers"][0]["node"]),
        (&2.into(), &"a".into())
    );
    let found = &found["strangers"][0]["obstacles"];
    assert_eq!(
        (&found[0]["port"], found.as_array().map(Vec::len)),
        (&"40001/tcp".into(), Some(1))
    );
    // Root is this test.
    let none = strangers(&["--user=root", "--for=1"], 0);
    assert_eq!(none["strangers"], serde_json::json!([]));
    drop(taken);
    let said = ok(operator().args(["strangers", "soft"]));
    assert!(
        said.contains("Nobody else uses the ports of soft on 2 nodes"),
        "{said}"
    );
    // A port has one owner, so the exclusion ends first.
    let hard = ["reserve", "hard", "40000-40003/tcp", "--on=all"];
    let said = fails(operator().args(hard), 1);
    assert!(
        said.contains("a     40000-40003/tcp") && said.contains("soft"),
        "{said}"
    );
    fails(
        operator().args(["change", "soft", "40000/tcp", "--user=root"]),
        2,
    );
    ok(operator().args(["unreserve", "soft"]));
    ok(operator().args(hard));
    assert_eq!(stranger(40000), Some(EADDRINUSE));
    let said = fails(operator().args(["strangers", "hard"]), 1);
    assert!(said.contains("hard is a reservation"), "{said}");
    // A change asks for what is new: the policy is not in its own way.
    let wider = ["change", "hard", "40000-40007/tcp", "--dry-run"];
    let said = ok(operator().args(wider));
    assert!(said.contains("on 2 nodes: all can"), "{said}");
    let taken = sock::tcp4();
    sock::bind_any(&taken, 40006).expect("bind");
    let dry = operator().args(wider).output().expect("run");
    assert_eq!(dry.status.code(), Some(1));
    let said = String::from_utf8_lossy(&dry.stdout);
    assert!(said.contains("a     40006/tcp"), "{said}");
}

/// The numbers are the fleet's choice, in its band, and what a node has in the way there is avoided.
pub fn numbers_of_the_fleets_choice(sandbox: &Sandbox) {
    let (here, other) = two(sandbox);
    let operator = || fleet(&here.etcd, "operator");
    let reserve = |name: &str, count: &str| {
        let mut command = operator();
        command.args([
            "reserve", name, "tcp", "--on=all", "--json", "--count", count,
        ]);
        let said = document("reserve", &ok(&mut command));
        let ports = said["ports"][0].as_str().expect("ports").to_owned();
        (said, range(&ports))
    };
    // Half of the band is another's on the other node, in two halves.
    let theirs = node::range("61000-63000/tcp").into();
    other.machine.lock().expect("a machine").stranger = Some(theirs);
    let (said, ports) = reserve("billing", "4");
    assert_eq!((ports.count(), &said["state"]), (4, &"reserved".into()));
    assert!(ports.start() > 63000, "{ports}");
    assert_eq!(stranger(ports.start()), Some(EADDRINUSE));
    assert_eq!(other.ports(), [ports.to_string()]);
    // It keeps them, and another gets others.
    let (again, same) = reserve("billing", "4");
    assert_eq!((&again["state"], same), (&"already".into(), ports));
    let (_, others) = reserve("audit", "1");
    assert!(!ports.contains(others.start()), "{others} {ports}");
    let more = ["reserve", "billing", "tcp", "--count=5", "--on=all"];
    let said = fails(operator().args(more), 1);
    assert!(
        said.contains("the policy billing is there already"),
        "{said}"
    );
    let all = ["reserve", "all", "udp", "--count=5000", "--on=all"];
    let said = fails(operator().args(all), 1);
    assert!(
        said.contains("no block of 5000 udp ports is free"),
        "{said}"
    );
    for wrong in [
        ["80/tcp", "--count=1"],
        ["tcp", "--count=0"],
        ["tcp", "--on=all"],
    ] {
        fails(operator().args(["reserve", "x", "--on=all"]).args(wrong), 2);
    }
    ok(operator().args(["unreserve", "billing"]));
    assert_eq!(stranger(ports.start()), None);
}
