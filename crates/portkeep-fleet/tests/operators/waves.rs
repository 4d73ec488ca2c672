//! A rollout in waves.

use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use portkeep_fleet::testing::Etcd;
use portkeep_fleet_core::points::Point;
use portkeep_tests::Sandbox;

use crate::common::{fails, fleet, ok};
use crate::decide::stranger;
use crate::nodes::{Node, name};
use crate::{document, made_of, status, until};

const RTP: [&str; 5] = [
    "reserve",
    "rtp",
    "10000-20000/udp",
    "--on=role=media",
    "--waves=1,50%,100%",
];

fn rtp(etcd: &Etcd) -> Command {
    let mut command = fleet(etcd, "operator");
    command.args(RTP);
    command
}

/// The first so many hold it, and no other node does.
fn holders(nodes: &[Node], count: usize) -> bool {
    let held = |node: &Node| node.ports() == ["10000-20000/udp"];
    let (first, others) = nodes.split_at(count);
    first.iter().all(held) && others.iter().all(|node| node.ports().is_empty())
}

pub fn one_after_the_other(_: &Sandbox) {
    let etcd = Etcd::with_members(1);
    let nodes = made_of(&etcd, 4);
    // A look asks all nodes.
    let said = ok(rtp(&etcd).arg("--dry-run"));
    assert!(said.contains("on 4 nodes: all can"), "{said}");
    let said = ok(&mut rtp(&etcd));
    assert!(
        said.starts_with(
            "Wave 1 of 3: 10000-20000/udp reserved on 1 of 4 nodes\n\
             Wave 2 of 3: 10000-20000/udp reserved on 2 of 4 nodes\n\
             10000-20000/udp reserved on 4 nodes (rtp, generation 3) in "
        ),
        "{said}"
    );
    assert!(holders(&nodes, 4));
    let said = ok(&mut rtp(&etcd));
    assert!(said.contains("reserved on 4 nodes already"), "{said}");
    // All nodes of the labels, also those that come later.
    assert_eq!(status(&etcd)[0]["on"], "role=media");
    assert_eq!(status(&etcd)[0]["only"], serde_json::Value::Null);
    for (wrong, status) in [("0", 2), ("2,1", 2), ("101%", 2), ("", 2)] {
        fails(rtp(&etcd).arg(format!("--waves={wrong}")), status);
    }
    ok(fleet(&etcd, "operator").args(["unreserve", "rtp"]));
    // As many as are asked for, and an exclusion.
    let soft = ["exclude", "soft", "30000-32767/tcp", "--on=all"];
    let said = ok(fleet(&etcd, "operator").args(soft).arg("--waves=2"));
    assert!(said.contains("excluded on 2 of 4 nodes"), "{said}");
    assert_eq!(status(&etcd)[0]["only"], serde_json::json!(["a", "b"]));
    assert_eq!(status(&etcd)[0]["nodes"], 2);
    // A change keeps to these nodes.
    ok(fleet(&etcd, "operator").args(["change", "soft", "30000-30007/tcp"]));
    assert!(nodes[2].ports().is_empty() && nodes[3].ports().is_empty());
    assert_eq!(nodes[1].ports(), ["30000-30007/tcp"]);
    // Without waves, all the rest is one.
    let soft = ["exclude", "soft", "30000-30007/tcp", "--on=all"];
    ok(fleet(&etcd, "operator").args(soft));
    assert_eq!(nodes[3].ports(), ["30000-30007/tcp"]);
    assert!(
        nodes
            .iter()
            .all(|node| !node.machine.lock().expect("a machine").opened)
    );
}

pub fn stopped_at_the_first_refusal(_: &Sandbox) {
    let etcd = Etcd::with_members(1);
    let nodes = made_of(&etcd, 4);
    stranger(&nodes[2], Some("10042/udp"));
    let said = fails(&mut rtp(&etcd), 1);
    assert!(
        said.contains("10000-20000/udp is reserved on 2 of 4 nodes, wave 3 of 3: 1 of 4 cannot"),
        "{said}"
    );
    assert!(
        said.contains("c     10042/udp  socket of coturn")
            && said.contains("the same command goes on"),
        "{said}"
    );
    assert!(holders(&nodes, 2));
    let json = rtp(&etcd).arg("--json").output().expect("run");
    assert_eq!(json.status.code(), Some(1));
    let json = document("reserve", &String::from_utf8(json.stdout).expect("UTF-8"));
    let found = [&json["state"], &json["held"], &json["wave"], &json["waves"]];
    assert_eq!(
        found,
        [&"stopped".into(), &2.into(), &3.into(), &3.into()] as [&serde_json::Value; 4]
    );
    // What root has taken out meanwhile is a reason to stop, too.
    let id = name(status(&etcd)[0]["id"].as_str().expect("an ID"));
    {
        let mut machine = nodes[0].machine.lock().expect("a machine");
        machine.kernel.remove(&id);
        machine.taken_out = Some(id);
    }
    ok(fleet(&etcd, "operator").args(["why", "a:80/tcp"]));
    until("the agent has said so", || status(&etcd)[0]["lost"] == 1);
    stranger(&nodes[2], None);
    let said = fails(&mut rtp(&etcd), 1);
    assert!(
        said.contains("a     -     it is not reserved there any more"),
        "{said}"
    );
    assert!(nodes[2].ports().is_empty());
    ok(fleet(&etcd, "operator").args(["repair", "a"]));
    ok(&mut rtp(&etcd));
    assert!(holders(&nodes, 4));
    ok(fleet(&etcd, "operator").args(["unreserve", "rtp"]));
    // All of it or nothing, in waves.
    stranger(&nodes[3], Some("10042/udp"));
    let said = fails(rtp(&etcd).arg("--undo"), 1);
    assert!(
        said.contains("is reserved on no node any more, wave 3 of 3"),
        "{said}"
    );
    assert!(holders(&nodes, 0));
    assert_eq!(status(&etcd), serde_json::json!([]));
}

/// Killed before and after a wave's decision: the same command goes on from what stands.
pub fn a_rollout_that_dies_goes_on(_: &Sandbox) {
    let etcd = Etcd::with_members(1);
    let file = etcd.config_file("operator", "");
    let text = std::fs::read_to_string(&file).expect("a configuration");
    std::fs::write(&file, text.replace("lease = 5", "lease = 2")).expect("write it");
    let nodes = made_of(&etcd, 4);
    for (point, when, held) in [
        (Point::Prepare, "after", 1),
        (Point::Commit, "before", 1),
        (Point::Commit, "after", 2),
        (Point::Forget, "before", 2),
    ] {
        ok(fleet(&etcd, "operator").args(&RTP[..4]).arg("--waves=1"));
        assert!(holders(&nodes, 1));
        let mut dying = rtp(&etcd);
        dying.env("PORTKEEP_FLEET_DIE", format!("{point}:{when}"));
        dying.stderr(Stdio::null()).stdout(Stdio::null());
        assert!(!dying.status().expect("run").success(), "{point} {when}");
        until("what it began is over", || {
            ok(fleet(&etcd, "operator").arg("repair"));
            status(&etcd).as_array().expect("policies").len() == 1
        });
        assert!(holders(&nodes, held), "{point} {when}");
        let said = ok(&mut rtp(&etcd));
        assert!(
            said.contains("reserved on 4 nodes (rtp, generation 3)"),
            "{said}"
        );
        assert!(holders(&nodes, 4));
        ok(fleet(&etcd, "operator").args(["unreserve", "rtp"]));
    }
    assert!(
        nodes
            .iter()
            .all(|node| !node.machine.lock().expect("a machine").opened)
    );
}

pub fn ctrl_c_in_a_pause(_: &Sandbox) {
    let etcd = Etcd::with_members(1);
    let nodes = made_of(&etcd, 2);
    let mut command = rtp(&etcd);
    command
        .args(["--pause=2h"])
        .stderr(Stdio::piped())
        .stdout(Stdio::null());
    let child = command.spawn().expect("run");
    until("the first wave is done", || {
        holders(&nodes, 1) && !status(&etcd)[0].is_null()
    });
    until("it is decided", || status(&etcd)[0]["phase"] == "committed");
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGINT).expect("interrupt");
    let output = child.wait_with_output().expect("wait");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("is reserved on 1 of 2 nodes"), "{said}");
    assert!(said.contains("it was interrupted"), "{said}");
    assert!(holders(&nodes, 1));
    ok(rtp(&etcd).arg("--pause=0"));
    assert!(holders(&nodes, 2));
}
