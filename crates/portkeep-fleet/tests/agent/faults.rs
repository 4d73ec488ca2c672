use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use portkeep_admin::{FleetTag, Kind, Ports, Request as Reserve};
use portkeep_fleet::agent::local::Request;
use portkeep_fleet_core::data::{Phase, Report, WantState};
use portkeep_fleet_core::points::Point;
use portkeep_tests::Sandbox;
use portkeep_tests::libc::EADDRINUSE;

use crate::node::{Node, name, range, stranger, wait};

/// The life of a policy and of a grant, with an agent that dies before or after each of its steps, and is
/// started again.
pub fn killed_at_any_point(sandbox: &Sandbox) {
    let mut node = Node::new(sandbox);
    let points = Point::ALL
        .iter()
        .filter(|point| point.name().starts_with("agent."));
    for (number, point) in points.enumerate() {
        for when in ["before", "after"] {
            let id = format!("{number}{when}");
            let grant = format!("g{id}");
            node.policy(&id, "40000-40003/tcp", Phase::Preparing);
            node.grant(&grant, "61000/tcp", WantState::Want);
            let dies = format!("{point}:{when}");
            node.start_to_die(&dies);
            let holding = !["agent.delete", "agent.erase"].contains(&point.name());
            if holding {
                wait(&format!("the agent dies at {dies}"), || {
                    node.has_died().then_some(())
                });
                node.start();
            }
            node.wait_report(&id, Report::Held);
            node.wait_report(&grant, Report::Held);
            node.policy(&id, "40000-40003/tcp", Phase::Committed);
            assert_eq!(stranger(40000), Some(EADDRINUSE), "{dies}");
            assert_eq!(stranger(61000), Some(EADDRINUSE), "{dies}");
            node.policy(&id, "40000-40003/tcp", Phase::Ending);
            node.grant(&grant, "61000/tcp", WantState::End);
            if !holding {
                wait(&format!("the agent dies at {dies}"), || {
                    node.has_died().then_some(())
                });
                node.start();
            }
            node.wait_report(&id, Report::Released);
            node.wait_report(&grant, Report::Released);
            assert_eq!(stranger(40000), None, "{dies}");
            assert_eq!(stranger(61000), None, "{dies}");
            assert_eq!(
                node.keeper().fleet_entries().expect("entries"),
                [],
                "{dies}"
            );
            node.kill();
        }
    }
}

pub fn without_etcd(sandbox: &Sandbox) {
    let mut node = Node::started(sandbox);
    node.policy("rtp", "40000/tcp", Phase::Committed);
    node.wait_report("rtp", Report::Held);
    node.grant("job", "61000/tcp", WantState::Want);
    node.wait_report("job", Report::Held);
    node.etcd.kill(0);
    wait("the agent hears of it", || {
        node.status().filter(|status| status["connected"] == false)
    });
    // Local commands go on.
    let request = Reserve {
        kind: Kind::Reservation,
        ports: Ports::These(vec![range("20000/tcp")]),
        scope: None,
        users: Vec::new(),
        groups: Vec::new(),
        cgroups: Vec::new(),
        comment: None,
    };
    node.keeper().reserve(&request, None).expect("reserve");
    assert_eq!(stranger(20000), Some(EADDRINUSE));
    node.keeper()
        .remove(Kind::Reservation, &[range("20000/tcp")], None)
        .expect("remove");
    assert_eq!(stranger(20000), None);
    // So does enforcement, over a restart of the agent and of the kernel part's installation.
    node.kill();
    portkeep_tests::enable::enable(sandbox);
    node.keeper().restore(None).expect("restore");
    node.start();
    let status = wait("the new agent answers", || node.status());
    assert_eq!(status["acting"], false);
    assert_eq!(stranger(40000), Some(EADDRINUSE));
    assert_eq!(stranger(61000), Some(EADDRINUSE));
    // When it is back, all is as before, and what was asked for meanwhile follows.
    node.etcd.restart(0);
    node.wait_standing("rtp", "held");
    node.wait_standing("job", "held");
    node.policy("rtp", "40000/tcp", Phase::Ending);
    node.wait_report("rtp", Report::Released);
    assert_eq!(stranger(40000), None);
    assert_eq!(stranger(61000), Some(EADDRINUSE));
}

pub fn on_a_full_disk(sandbox: &Sandbox) {
    let node_dir = sandbox.state_dir();
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=128k,mode=0755", "none"])
        .arg(node_dir)
        .status();
    assert!(mounted.expect("mount").success());
    let node = Node::started(sandbox);
    node.policy("first", "40000/tcp", Phase::Preparing);
    node.wait_report("first", Report::Held);
    let filler = node_dir.join("filler");
    let _ = fs::write(&filler, vec![0; 1 << 20]);
    node.policy("second", "41000/tcp", Phase::Preparing);
    let refused = node.wait_report("second", Report::Refused);
    assert!(
        refused.obstacles[0]
            .what
            .contains("store cannot be written"),
        "{refused:?}"
    );
    assert_eq!(stranger(41000), None);
    // What is held stays held, and what ends, ends as soon as it can.
    assert_eq!(stranger(40000), Some(EADDRINUSE));
    node.policy("first", "40000/tcp", Phase::Ending);
    fs::remove_file(&filler).expect("make room");
    node.wait_report("first", Report::Released);
    assert_eq!(stranger(40000), None);
    node.policy("third", "41000/tcp", Phase::Preparing);
    node.wait_report("third", Report::Held);
}

/// An administrator at the machine at night wins, until somebody says `repair`.
pub fn taken_out_by_hand(sandbox: &Sandbox) {
    let mut node = Node::started(sandbox);
    node.policy("rtp", "40000-40003/tcp", Phase::Committed);
    node.wait_report("rtp", Report::Held);
    node.wait_standing("rtp", "held");
    let ports = [range("40000-40003/tcp")];
    let keeper = node.keeper();
    keeper
        .remove(Kind::Reservation, &ports, None)
        .expect_err("it is the fleet's");
    keeper
        .remove_by_force(Kind::Reservation, &ports, None)
        .expect("by force");
    node.wait_report("rtp", Report::Lost);
    assert_eq!(stranger(40000), None);
    // It is not put back by itself, neither by a new agent.
    node.kill();
    node.start();
    node.wait_until_acting();
    node.wait_standing("rtp", "lost");
    assert_eq!(stranger(40000), None);
    let answer = node
        .ask(&Request::Repair { id: name("rtp") })
        .expect("an answer");
    assert_eq!(answer.error, None);
    node.wait_report("rtp", Report::Held);
    assert_eq!(stranger(40000), Some(EADDRINUSE));
    let tags: Vec<FleetTag> = keeper
        .fleet_entries()
        .expect("entries")
        .into_iter()
        .map(|it| it.tag)
        .collect();
    assert_eq!(tags[0].to_string(), "test/rtp#1");
}

/// A copy of the machine, or one with a wrong certificate: the second does nothing, and says so.
pub fn of_another_machine_with_its_name(sandbox: &Sandbox) {
    let mut node = Node::started(sandbox);
    let other = sandbox.state_dir().with_extension("other");
    fs::create_dir_all(&other).expect("a state directory");
    fs::set_permissions(&other, fs::Permissions::from_mode(0o755)).expect("its mode");
    let id = other.join("machine-id");
    fs::write(&id, "0123456789abcdef0123456789abcdef\n").expect("a machine ID");
    let mut agent = Command::new("unshare")
        .args([
            "-m",
            "sh",
            "-c",
            "mount --bind \"$0\" /etc/machine-id && exec \"$@\"",
        ])
        .arg(&id)
        .arg(env!("CARGO_BIN_EXE_portkeep-fleet"))
        .arg("agent")
        .env(
            "PORTKEEP_FLEET_CONFIG",
            node.etcd.directory().join("a.toml"),
        )
        .env("PORTKEEP_STATE_DIR", &other)
        .spawn()
        .expect("start the other agent");
    let status = || {
        use std::io::{Read as _, Write as _};
        let mut stream =
            std::os::unix::net::UnixStream::connect(other.join("run/fleet.sock")).ok()?;
        stream.write_all(b"{\"ask\":\"status\"}\n").ok()?;
        let mut text = String::new();
        stream.read_to_string(&mut text).ok()?;
        serde_json::from_str::<serde_json::Value>(&text).ok()
    };
    let says = |words: &str| {
        let status = status()?;
        let trouble = status["document"]["trouble"].as_str()?.to_owned();
        trouble.contains(words).then_some(trouble)
    };
    wait("the other says so", || says("another machine"));
    node.policy("rtp", "40000/tcp", Phase::Preparing);
    let held = node.wait_report("rtp", Report::Held);
    assert_ne!(held.boot.machine, name("0123456789abcdef0123456789abcdef"));
    // It answers for the node only when the first is gone.
    assert!(says("another machine").is_some());
    node.kill();
    wait("the other acts", || {
        status().filter(|status| status["document"]["acting"] == true)
    });
    node.start();
    wait("the first says so", || {
        let status = node.status()?;
        let trouble = status["trouble"].as_str()?.to_owned();
        trouble.contains("another machine").then_some(())
    });
    assert_eq!(stranger(40000), Some(EADDRINUSE));
    agent.kill().expect("kill the other agent");
    agent.wait().expect("wait for it");
    node.wait_until_acting();
    let _ = fs::remove_dir_all(&other);
}
