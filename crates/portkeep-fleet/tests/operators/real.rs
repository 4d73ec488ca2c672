//! One of the nodes is this machine, with its agent's process and its kernel part.

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
        said.contains("keep it closed until they hear of that: a"),
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
    ok(operator().args(["unreserve", "soft"]));
    let protected = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_reserved_ports");
    assert!(!protected.expect("the setting").contains("40000-40003"));
}
