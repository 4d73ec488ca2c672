use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use portkeep_fleet::testing::Etcd;
use portkeep_fleet_core::points::Point;
use portkeep_tests::Sandbox;
use serde_json::json;

use crate::common::{fails, fleet, ok};
use crate::{made_of, status, until};

const RTP: [&str; 4] = ["reserve", "rtp", "10000-20000/udp", "--on=all"];

/// Killed before or after each transaction: either it is decided, or the next command leaves nothing of it.
pub fn a_command_that_dies_at_any_point(_: &Sandbox) {
    let etcd = Etcd::with_members(1);
    // Nobody is at work on it as soon as the lease of the command that died is over.
    let file = etcd.config_file("operator", "");
    let text = std::fs::read_to_string(&file).expect("a configuration");
    std::fs::write(&file, text.replace("lease = 5", "lease = 2")).expect("write it");
    let nodes = made_of(&etcd, 2);
    let open = || nodes.iter().all(|node| node.ports().is_empty());
    let held = || nodes.iter().all(|node| node.ports() == ["10000-20000/udp"]);
    let die = |point: Point, when: &str, arguments: &[&str]| {
        let mut command = fleet(&etcd, "operator");
        command
            .args(arguments)
            .env("PORTKEEP_FLEET_DIE", format!("{point}:{when}"));
        let ended = command
            .stderr(Stdio::null())
            .stdout(Stdio::null())
            .status()
            .expect("run");
        assert!(!ended.success(), "{point} {when}: it went on");
    };
    for point in [Point::List, Point::Prepare, Point::Commit] {
        for when in ["before", "after"] {
            die(point, when, &RTP);
            until("its lease is over", || {
                ok(fleet(&etcd, "operator").args(["repair"]));
                let policies = status(&etcd);
                policies == json!([]) || policies[0]["phase"] == "committed"
            });
            if (point, when) == (Point::Commit, "after") {
                assert!(held());
                let said = ok(fleet(&etcd, "operator").args(RTP));
                assert!(said.contains("already"), "{said}");
            } else {
                assert!(open(), "{point} {when}");
                // Nothing is in the way of the next one.
                ok(fleet(&etcd, "operator").args(RTP));
                assert!(held(), "{point} {when}");
            }
            ok(fleet(&etcd, "operator").args(["unreserve", "rtp"]));
            assert!(open());
        }
    }
    for when in ["before", "after"] {
        ok(fleet(&etcd, "operator").args(RTP));
        die(Point::Commit, when, &["change", "rtp", "15000-25000/udp"]);
        until("one of the two is left", || {
            ok(fleet(&etcd, "operator").args(["repair"]));
            status(&etcd).as_array().expect("policies").len() == 1
        });
        let ports = match when {
            "before" => "10000-20000/udp",
            _ => "15000-25000/udp",
        };
        assert!(
            nodes.iter().all(|node| node.ports() == [ports]),
            "change {when}"
        );
        ok(fleet(&etcd, "operator").args(["unreserve", "rtp"]));
    }
    for point in [Point::End, Point::Forget] {
        for when in ["before", "after"] {
            ok(fleet(&etcd, "operator").args(RTP));
            die(point, when, &["unreserve", "rtp"]);
            if (point, when) == (Point::End, "before") {
                assert!(held());
                ok(fleet(&etcd, "operator").args(["unreserve", "rtp"]));
            }
            until("it is completed", || {
                ok(fleet(&etcd, "operator").args(["repair"]));
                status(&etcd) == json!([])
            });
            assert!(open(), "{point} {when}");
        }
    }
    let listed = ok(fleet(&etcd, "operator").args(["drift"]));
    assert!(
        listed.contains("No node that is connected differs"),
        "{listed}"
    );
}

pub fn ctrl_c_leaves_nothing(_: &Sandbox) {
    let etcd = Etcd::with_members(1);
    let nodes = made_of(&etcd, 2);
    nodes[1].machine.lock().expect("a machine").is_stuck = true;
    let mut command: Command = fleet(&etcd, "operator");
    command.args(RTP).stderr(Stdio::piped());
    let child = command.spawn().expect("run");
    until("the other node holds it", || !nodes[0].ports().is_empty());
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGINT).expect("interrupt");
    until("it is released", || nodes[0].ports().is_empty());
    // The stuck node is left: a second Ctrl-C waits for it no longer.
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGINT).expect("interrupt");
    let output = child.wait_with_output().expect("wait");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("is reserved on no node: it was interrupted"),
        "{said}"
    );
    assert!(said.contains("portkeep fleet repair"), "{said}");
}

/// Both want ports that overlap, on the same nodes: at most one gets them, and the other one leaves nothing.
pub fn two_operators_compete(_: &Sandbox) {
    let etcd = Etcd::with_members(1);
    let nodes = made_of(&etcd, 3);
    let mut granted = 0;
    for _ in 0..5 {
        let wanted = [("one", "10000-15000/udp"), ("two", "15000-20000/udp")];
        let children = wanted.map(|(policy, ports)| {
            let mut command = fleet(&etcd, "operator");
            command.args(["reserve", policy, ports, "--on=all"]);
            command.stderr(Stdio::null()).stdout(Stdio::null());
            command.spawn().expect("run")
        });
        let done = children.map(|mut child| child.wait().expect("wait").success());
        granted += done.iter().filter(|done| **done).count();
        assert!(done != [true, true], "two owners");
        for ((policy, ports), done) in wanted.into_iter().zip(done) {
            let holders = nodes
                .iter()
                .filter(|node| node.ports().contains(&ports.to_owned()));
            assert_eq!(holders.count(), if done { 3 } else { 0 }, "{policy}");
            if done {
                ok(fleet(&etcd, "operator").args(["unreserve", policy]));
            }
        }
        assert_eq!(status(&etcd), json!([]));
    }
    println!("{granted} of 5 were granted");
}

pub fn a_removed_node_is_waited_for_no_longer(_: &Sandbox) {
    let etcd = Etcd::with_members(1);
    let mut nodes = made_of(&etcd, 2);
    ok(fleet(&etcd, "operator").args(RTP));
    nodes[1].stop();
    let said = ok(fleet(&etcd, "operator").args(["unreserve", "rtp", "--wait=1"]));
    assert!(
        said.contains("stays closed on these nodes until they hear of that: b"),
        "{said}"
    );
    assert!(nodes[0].ports().is_empty());
    assert_eq!(nodes[1].ports(), ["10000-20000/udp"]);
    assert_eq!(status(&etcd)[0]["phase"], "ending");
    // The other one's ports can be had again, under the same name.
    ok(fleet(&etcd, "operator").args(["reserve", "rtp", "10000/udp", "--on=all", "--except=b"]));
    ok(fleet(&etcd, "operator").args(["unreserve", "rtp"]));
    ok(fleet(&etcd, "root").args(["node", "remove", "b", "--gone"]));
    until("nothing waits for it", || {
        ok(fleet(&etcd, "operator").args(["repair"]));
        status(&etcd) == json!([])
    });
    // Its kernel keeps the ports closed.
    assert_eq!(nodes[1].ports(), ["10000-20000/udp"]);
    fails(fleet(&etcd, "b").args(["status"]), 1);
}
