use portkeep_fleet::testing::Etcd;
use portkeep_tests::Sandbox;

use crate::common::{fails, fleet, ok};
use crate::nodes::{Node, name};
use crate::{document, made_of, status, until};
use std::sync::{Arc, Mutex};

const RTP: [&str; 5] = [
    "reserve",
    "rtp",
    "10000-20000/udp",
    "--on=role=media",
    "--user=asterisk",
];

pub fn stranger(node: &Node, port: Option<&str>) {
    let ports = port.map(|port| port.parse::<portkeep::PortRange>().expect("a port").into());
    node.machine.lock().expect("a machine").stranger = ports;
}

pub fn all_or_nothing(_: &Sandbox) {
    let etcd = Etcd::with_members(1);
    let nodes = made_of(&etcd, 3);
    stranger(&nodes[1], Some("10042/udp"));
    let dry = ok_or(&etcd, 1, &["--dry-run"]);
    assert!(
        dry.0
            .contains("on 3 nodes: 2 can, 1 cannot, nothing was changed"),
        "{dry:?}"
    );
    let row = "b     10042/udp  socket of coturn (pid 812, user turnserver)";
    assert!(dry.0.contains(row), "{dry:?}");
    let said = fails(fleet(&etcd, "operator").args(RTP), 1);
    assert!(
        said.contains("is reserved on no node: 1 of 3 cannot"),
        "{said}"
    );
    assert!(said.contains(row) && said.contains("--except b"), "{said}");
    for node in &nodes {
        assert!(node.ports().is_empty(), "{}", node.name);
        assert!(node.machine.lock().expect("a machine").store.is_empty());
    }
    assert_eq!(status(&etcd), serde_json::json!([]));
    let json = fleet(&etcd, "operator")
        .args(RTP)
        .arg("--json")
        .output()
        .expect("run");
    let json = document("reserve", &String::from_utf8(json.stdout).expect("UTF-8"));
    assert_eq!(json["state"], "refused");
    assert_eq!(json["in_the_way"][0]["obstacles"][0]["port"], "10042/udp");
    stranger(&nodes[1], None);
    let possible = ok(fleet(&etcd, "operator").args(RTP).arg("--dry-run"));
    assert!(
        possible.contains("all can, nothing was changed"),
        "{possible}"
    );
    assert!(nodes[0].ports().is_empty());
    let said = ok(fleet(&etcd, "operator").args(RTP));
    assert!(
        said.contains("10000-20000/udp reserved on 3 nodes (rtp, generation 1)"),
        "{said}"
    );
    for node in &nodes {
        assert_eq!(node.ports(), ["10000-20000/udp"], "{}", node.name);
    }
    let policy = &status(&etcd)[0];
    assert_eq!(
        (&policy["nodes"], &policy["enforced"]),
        (&3.into(), &3.into())
    );
    assert_eq!(policy["consumers"][0], "user asterisk");
    document(
        "status",
        &ok(fleet(&etcd, "operator").args(["status", "--json"])),
    );
    let said = ok(fleet(&etcd, "operator").args(["unreserve", "rtp", "--json"]));
    assert_eq!(document("unreserve", &said)["nodes"], 3);
    assert!(nodes.iter().all(|node| node.ports().is_empty()));
    let said = fails(fleet(&etcd, "operator").args(["unreserve", "rtp"]), 1);
    assert!(said.contains("there is no policy rtp"), "{said}");
}

fn ok_or(etcd: &Etcd, status: i32, more: &[&str]) -> (String, String) {
    let output = fleet(etcd, "operator")
        .args(RTP)
        .args(more)
        .output()
        .expect("run");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    let said = (text(output.stdout), text(output.stderr));
    assert_eq!(output.status.code(), Some(status), "{said:?}");
    said
}

pub fn the_same_again_and_another(_: &Sandbox) {
    let etcd = Etcd::with_members(1);
    let nodes = made_of(&etcd, 1);
    ok(fleet(&etcd, "operator").args(RTP));
    let said = ok(fleet(&etcd, "operator").args(RTP));
    assert!(
        said.contains("reserved on 1 node already (rtp, generation 1)"),
        "{said}"
    );
    let other = ["reserve", "rtp", "30000/udp", "--on=all"];
    let said = fails(fleet(&etcd, "operator").args(other), 1);
    assert!(
        said.contains("the policy rtp is there already, with 10000-20000/udp"),
        "{said}"
    );
    // Ports that another policy has are in the way, by name.
    let other = ["reserve", "sip", "15000/udp", "--on=all"];
    let said = fails(fleet(&etcd, "operator").args(other), 1);
    assert!(said.contains("reserved for rtp."), "{said}");
    for wrong in [
        ["reserve", "x", "15000", "--on=all"],
        ["reserve", "x", "1-2/tcp", "--on=role"],
        ["reserve", "x/y", "1-2/tcp", "--on=all"],
    ] {
        fails(fleet(&etcd, "operator").args(wrong), 2);
    }
    let said = fails(
        fleet(&etcd, "operator").args(["reserve", "x", "1/tcp", "--on=role=none"]),
        1,
    );
    assert!(
        said.contains("no node of the fleet has these labels"),
        "{said}"
    );
    assert_eq!(nodes[0].ports(), ["10000-20000/udp"]);
    // A viewer looks and changes nothing.
    ok(fleet(&etcd, "root").args(["init", "--name=test", "--viewer=viewer"]));
    ok(fleet(&etcd, "viewer").args(["status"]));
    fails(fleet(&etcd, "viewer").args(["unreserve", "rtp"]), 1);
    assert_eq!(nodes[0].ports(), ["10000-20000/udp"]);
}

pub fn nodes_that_are_down(_: &Sandbox) {
    let etcd = Etcd::with_members(1);
    let mut nodes = made_of(&etcd, 3);
    let machine = nodes[2].machine.clone();
    nodes[2].stop();
    let said = fails(fleet(&etcd, "operator").args(RTP), 1);
    assert!(
        said.contains("c     -     its agent is not connected"),
        "{said}"
    );
    assert!(nodes.iter().all(|node| node.ports().is_empty()));
    let said = ok(fleet(&etcd, "operator").args(RTP).arg("--skip-down"));
    assert!(
        said.contains("reserved on 2 nodes") && said.contains("connected: c"),
        "{said}"
    );
    let policy = &status(&etcd)[0];
    assert_eq!(
        (&policy["enforced"], &policy["pending"]),
        (&2.into(), &1.into())
    );
    // From the moment it is back.
    nodes[2] = Node::start(&etcd, "c", "media", machine);
    until("the node that was down holds it", || {
        status(&etcd)[0]["enforced"] == 3
    });
    assert_eq!(nodes[2].ports(), ["10000-20000/udp"]);
    // Stopped and not down: it is connected, and does not answer.
    ok(fleet(&etcd, "operator").args(["unreserve", "rtp"]));
    nodes[2].machine.lock().expect("a machine").is_stuck = true;
    let said = fails(fleet(&etcd, "operator").args(RTP).arg("--wait=1"), 1);
    assert!(
        said.contains("c     -     it did not answer in time"),
        "{said}"
    );
    assert!(said.contains("portkeep fleet repair"), "{said}");
    until("the others have released it", || {
        nodes.iter().all(|node| node.ports().is_empty())
    });
    // It hears of the end when it goes on, or is started again.
    nodes[2].stop();
    let machine = nodes[2].machine.clone();
    machine.lock().expect("a machine").is_stuck = false;
    nodes[2] = Node::start(&etcd, "c", "media", machine);
    until("nothing is left", || {
        ok(fleet(&etcd, "operator").args(["repair"]));
        status(&etcd) == serde_json::json!([])
    });
}

pub fn late_and_left_out(_: &Sandbox) {
    let etcd = Etcd::with_members(1);
    let mut nodes = made_of(&etcd, 2);
    ok(fleet(&etcd, "operator").args(RTP).arg("--except=b,d"));
    assert_eq!(nodes[0].ports(), ["10000-20000/udp"]);
    assert!(nodes[1].ports().is_empty());
    // A new node takes it over; one that is in the way says so; one that is left out stays out.
    for node in ["c", "d", "e"] {
        ok(fleet(&etcd, "root").args(["node", "add", node, "--label=role=media"]));
        let machine = Arc::new(Mutex::default());
        let blocked = (node == "e").then(|| "10001/udp".parse::<portkeep::PortRange>());
        let new: &Mutex<crate::nodes::Machine> = &machine;
        new.lock().expect("a machine").stranger = blocked.map(|it| it.expect("a port").into());
        nodes.push(Node::start(&etcd, node, "media", machine));
    }
    until("the new nodes have said", || {
        let policy = status(&etcd)[0].clone();
        policy["enforced"] == 2 && policy["conflict"] == 1
    });
    assert_eq!(nodes[2].ports(), ["10000-20000/udp"]);
    assert!(nodes[3].ports().is_empty() && nodes[4].ports().is_empty());
    let shown = ok(fleet(&etcd, "operator").args(["status", "rtp"]));
    assert!(
        shown.contains("e     conflict  10001/udp: socket of coturn"),
        "{shown}"
    );
    let drift = fleet(&etcd, "operator")
        .args(["drift"])
        .output()
        .expect("run");
    assert_eq!(drift.status.code(), Some(3));
    // Exclusions and all: the last word is the name.
    ok(fleet(&etcd, "operator").args(["unreserve", "rtp"]));
    assert!(nodes.iter().all(|node| node.ports().is_empty()));
    assert_eq!(name("e"), nodes[4].name);
}

pub fn exclusions_refuse_no_socket(_: &Sandbox) {
    let etcd = Etcd::with_members(1);
    let nodes = made_of(&etcd, 2);
    stranger(&nodes[0], Some("10042/udp"));
    let said =
        ok(fleet(&etcd, "operator").args(["exclude", "soft", "10000-20000/udp", "--on=all"]));
    assert!(
        said.contains("10000-20000/udp excluded on 2 nodes (soft, generation 1)"),
        "{said}"
    );
    assert_eq!(status(&etcd)[0]["mode"], "exclude");
    stranger(&nodes[0], None);
    // A port has one owner: what is excluded is not reserved by another policy.
    let said = fails(fleet(&etcd, "operator").args(RTP), 1);
    assert!(said.contains("reserved for soft."), "{said}");
    let said = ok(fleet(&etcd, "operator").args(["unreserve", "soft"]));
    assert!(said.contains("soft is released on 2 nodes"), "{said}");
    ok(fleet(&etcd, "operator").args(RTP));
    assert_eq!(nodes[0].ports(), ["10000-20000/udp"]);
}

pub fn changes(_: &Sandbox) {
    let etcd = Etcd::with_members(1);
    let mut nodes = made_of(&etcd, 3);
    let operator = || fleet(&etcd, "operator");
    ok(operator().args(RTP));
    stranger(&nodes[1], Some("22000/udp"));
    let said = fails(operator().args(["change", "rtp", "10000-25000/udp"]), 1);
    assert!(said.contains("rtp stays as it is: 1 of 3 cannot"), "{said}");
    for node in &nodes {
        assert_eq!(node.ports(), ["10000-20000/udp"], "{}", node.name);
    }
    stranger(&nodes[1], None);
    // One that sleeps through it: it takes the new ports, and then releases the old ones.
    let machine = nodes[2].machine.clone();
    nodes[2].stop();
    let change = ["change", "rtp", "15000-25000/udp", "--skip-down", "--json"];
    let said = document("reserve", &ok(operator().args(change)));
    assert_eq!(
        (&said["generation"], &said["pending"][0]),
        (&2.into(), &"c".into())
    );
    assert_eq!(nodes[0].ports(), ["15000-25000/udp"]);
    assert_eq!(nodes[2].ports(), ["10000-20000/udp"]);
    nodes[2] = Node::start(&etcd, "c", "media", machine);
    until("the one that slept has changed", || {
        nodes[2].ports() == ["15000-25000/udp"]
    });
    until("nothing is left of the old one", || {
        ok(operator().args(["repair"]));
        status(&etcd).as_array().expect("policies").len() == 1
    });
    let policy = &status(&etcd)[0];
    assert_eq!(
        (&policy["enforced"], &policy["consumers"][0]),
        (&3.into(), &"user asterisk".into())
    );
    assert!(
        nodes
            .iter()
            .all(|node| !node.machine.lock().expect("a machine").opened)
    );
    // Two at a time: one of them finds it changed.
    let children = ["15000-26000/udp", "14000-25000/udp"].map(|ports| {
        let mut command = operator();
        command
            .args(["change", "rtp", ports])
            .stderr(std::process::Stdio::null());
        command
            .stdout(std::process::Stdio::null())
            .spawn()
            .expect("run")
    });
    let done = children.map(|mut child| child.wait().expect("wait").success());
    assert!(
        done != [true, true] || status(&etcd)[0]["generation"] == 4,
        "{done:?}"
    );
    let all = status(&etcd);
    assert_eq!(all.as_array().expect("policies").len(), 1, "{all}");
    for node in &nodes {
        assert_eq!(node.ports(), [all[0]["ports"][0].as_str().expect("ports")]);
    }
    fails(operator().args(["change", "none", "1/tcp"]), 1);
    ok(operator().args(["unreserve", "rtp"]));
    assert!(nodes.iter().all(|node| node.ports().is_empty()));
}
