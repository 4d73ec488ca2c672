use std::collections::BTreeMap;

use portkeep_fleet_core::data::{
    Ask, Key, Phase, Question, Record, Report, Selector, Value, WantState,
};
use portkeep_tests::libc::EADDRINUSE;
use portkeep_tests::{Sandbox, sock};

use crate::common::{fleet, ok};
use crate::node::{Node, name, range, record, stranger, stranger_as_nobody, wait};

pub fn of_a_policy(sandbox: &Sandbox) {
    let node = Node::started(sandbox);
    assert_eq!(stranger(40000), None);
    node.policy("rtp", "40000-40003/tcp", Phase::Preparing);
    node.wait_report("rtp", Report::Held);
    // The vote is a fact.
    assert_eq!(stranger(40000), Some(EADDRINUSE));
    assert_eq!(stranger(40003), Some(EADDRINUSE));
    node.policy("rtp", "40000-40003/tcp", Phase::Committed);
    node.wait_standing("rtp", "held");
    let text = std::fs::read_to_string(sandbox.state_dir().join("reservations.toml"));
    assert!(text.expect("the store").contains("fleet = \"test/rtp#1\""));
    node.policy("rtp", "40000-40003/tcp", Phase::Ending);
    node.wait_report("rtp", Report::Released);
    assert_eq!(stranger(40000), None);
    assert_eq!(node.keeper().fleet_entries().expect("entries"), []);
    node.remove(&[Key::Policy(name("rtp"))]);
    wait("the report is deleted", || {
        node.have("rtp").is_none().then_some(())
    });
}

/// A policy takes another's place: what both have is closed at every instant.
pub fn of_a_policy_that_changes(sandbox: &Sandbox) {
    let mut node = Node::started(sandbox);
    let change = |id: &str, ports: &str, replaces: &str, phase| {
        let Value::Record(made) = record(ports, phase) else {
            unreachable!()
        };
        let replaces = (!replaces.is_empty()).then(|| name(replaces));
        let made = Record {
            replaces,
            consumers: vec!["user root".to_owned()],
            ..*made
        };
        (Key::Policy(name(id)), Value::Record(Box::new(made)))
    };
    // Wider, then narrower, then elsewhere in part.
    let versions = [
        "40000-40009/tcp",
        "40000-40019/tcp",
        "40005-40007/tcp",
        "40006-40011/tcp",
    ];
    let (key, value) = change("r0", versions[0], "", Phase::Committed);
    node.put(key, value);
    node.wait_report("r0", Report::Held);
    for (index, ports) in versions.iter().enumerate().skip(1) {
        let (old, new) = (format!("r{}", index - 1), format!("r{index}"));
        let (key, value) = change(&new, ports, &old, Phase::Preparing);
        node.put(key, value);
        node.wait_report(&new, Report::Held);
        assert_eq!(stranger_as_nobody(40006), Some(EADDRINUSE));
        // The agent may die between the two.
        node.kill();
        node.start();
        node.wait_until_acting();
        node.wait_standing(&new, "held");
        let before = if index > 1 {
            format!("r{}", index - 2)
        } else {
            String::new()
        };
        let commit = change(&new, ports, &old, Phase::Committed);
        let mut end = change(&old, versions[index - 1], &before, Phase::Ending);
        if let Value::Record(record) = &mut end.1 {
            record.successor = Some(name(&new));
        }
        let transaction = portkeep_fleet_core::engine::Transaction::default()
            .put(commit.0, commit.1)
            .put(end.0.clone(), end.1);
        crate::node::run(node.engine.transact(&transaction)).expect("an outcome");
        wait("the old one is released", || {
            assert_eq!(stranger_as_nobody(40006), Some(EADDRINUSE));
            node.have(&old)
                .filter(|have| have.report == Report::Released)
        });
        node.remove(&[end.0]);
        let entries = node.keeper().fleet_entries().expect("entries");
        assert_eq!(entries.len(), 1, "{entries:?}");
        assert_eq!(
            (entries[0].tag.id.as_str(), entries[0].enforced),
            (new.as_str(), true)
        );
        assert_eq!(entries[0].ports, [range(ports)]);
    }
    assert_eq!(stranger_as_nobody(40000), None);
    assert_eq!(stranger_as_nobody(40005), None);
    assert_eq!(stranger_as_nobody(40011), Some(EADDRINUSE));
    assert_eq!(stranger_as_nobody(40012), None);
}

pub fn of_a_grant(sandbox: &Sandbox) {
    let node = Node::started(sandbox);
    node.grant("g1", "61000-61001/tcp", WantState::Want);
    node.grant("g2", "61001-61002/tcp", WantState::Want);
    let held = wait("one of two that compete is held", || {
        let (one, two) = (node.have("g1")?.report, node.have("g2")?.report);
        match (one, two) {
            (Report::Held, Report::Refused) => Some("g1"),
            (Report::Refused, Report::Held) => Some("g2"),
            _ => None,
        }
    });
    assert_eq!(stranger(61001), Some(EADDRINUSE));
    // Closed to everybody, and gone with the boot: not in the store of policies.
    let text = std::fs::read_to_string(sandbox.state_dir().join("reservations.toml"));
    assert!(!text.unwrap_or_default().contains("fleet ="));
    let ports = if held == "g1" {
        "61000-61001/tcp"
    } else {
        "61001-61002/tcp"
    };
    node.grant(held, ports, WantState::End);
    node.wait_report(held, Report::Released);
    assert_eq!(stranger(61001), None);
}

pub fn what_is_in_the_way_is_named(sandbox: &Sandbox) {
    let node = Node::started(sandbox);
    let taken = sock::tcp4();
    sock::bind_any(&taken, 40001).expect("bind");
    sock::listen(&taken).expect("listen");
    node.policy("rtp", "40000-40003/tcp", Phase::Preparing);
    let refused = node.wait_report("rtp", Report::Refused);
    assert_eq!(refused.obstacles[0].port, "40001/tcp");
    let what = &refused.obstacles[0].what;
    let pid = format!("(pid {}, user root)", std::process::id());
    assert!(what.contains("socket of") && what.contains(&pid), "{what}");
    // Nothing is left of it here.
    assert_eq!(stranger(40000), None);
    assert_eq!(node.keeper().fleet_entries().expect("entries"), []);
    // One that comes to a committed policy says so, and holds it when asked again.
    node.policy("late", "40000-40003/tcp", Phase::Committed);
    node.wait_report("late", Report::Conflict);
    drop(taken);
    let request = portkeep_fleet::agent::local::Request::Repair { id: name("late") };
    node.ask(&request).expect("an answer");
    node.wait_report("late", Report::Held);
    assert_eq!(stranger(40001), Some(EADDRINUSE));
}

pub fn limits_of_the_node(sandbox: &Sandbox) {
    let mut node = Node::new(sandbox);
    let limits = "max-ports = 10\nnever = [\"22/tcp\", \"40000-40009/tcp\"]";
    node.etcd.config_file("a", limits);
    node.start();
    node.policy("never", "40009-40010/tcp", Phase::Preparing);
    let refused = node.wait_report("never", Report::Refused);
    assert!(refused.obstacles[0].what.contains("`never`"), "{refused:?}");
    node.policy("some", "41000-41007/tcp", Phase::Preparing);
    node.wait_report("some", Report::Held);
    node.policy("more", "42000-42002/tcp", Phase::Preparing);
    let refused = node.wait_report("more", Report::Refused);
    assert!(
        refused.obstacles[0].what.contains("`max-ports` is 10"),
        "{refused:?}"
    );
    assert_eq!(stranger(42000), None);
    assert_eq!(stranger(40009), None);
}

pub fn labels_select(sandbox: &Sandbox) {
    let node = Node::started(sandbox);
    let Value::Record(record) = record("40000/tcp", Phase::Committed) else {
        unreachable!()
    };
    let selector = Selector(BTreeMap::from([("role".into(), "media".into())]));
    let record = Record {
        selector,
        ..*record
    };
    node.put(
        Key::Policy(name("rtp")),
        Value::Record(Box::new(record.clone())),
    );
    node.policy("all", "41000/tcp", Phase::Committed);
    node.wait_report("all", Report::Held);
    assert_eq!(node.have("rtp"), None);
    ok(fleet(&node.etcd, "root").args(["node", "add", "a", "--label=role=media"]));
    node.wait_report("rtp", Report::Held);
    // Without the label it still has to read the end.
    ok(fleet(&node.etcd, "root").args(["node", "add", "a"]));
    node.wait_until_acting();
    assert_eq!(stranger(40000), Some(EADDRINUSE));
    let ending = Value::Record(Box::new(record.with_phase(Phase::Ending)));
    node.put(Key::Policy(name("rtp")), ending);
    node.wait_report("rtp", Report::Released);
    assert_eq!(stranger(40000), None);
}

pub fn answers_operators(sandbox: &Sandbox) {
    let node = Node::started(sandbox);
    let taken = sock::tcp4();
    sock::bind_any(&taken, 40001).expect("bind");
    sock::listen(&taken).expect("listen");
    let ask = |id: &str, ask: Ask| {
        let key = Key::Question(name("a"), name(id));
        node.put(key.clone(), Value::Question(Question::new(ask)));
        let reply = wait("an answer", || node.value(&Key::Reply(name("a"), name(id))));
        node.remove(&[key]);
        wait("the answer is deleted", || {
            node.value(&Key::Reply(name("a"), name(id)))
                .is_none()
                .then_some(())
        });
        match reply {
            Value::Reply(reply) => *reply,
            other => panic!("{other:?}"),
        }
    };
    let try_on = |ports: &str, consumers: &[&str]| Ask::Try {
        ports: range(ports).into(),
        consumers: consumers.iter().map(|it| (*it).to_owned()).collect(),
        mode: Default::default(),
        replaces: None,
    };
    let reply = ask("q1", try_on("40000-40003/tcp", &[]));
    assert_eq!(reply.obstacles[0].port, "40001/tcp", "{reply:?}");
    assert_eq!(ask("q2", try_on("50000/tcp", &["user root"])).obstacles, []);
    let missing = ask("q3", try_on("50000/tcp", &["user no-such-user"]));
    assert_eq!(missing.obstacles.len(), 1, "{missing:?}");
    let nonsense = ask("q4", try_on("50000/tcp", &["--help"]));
    assert!(nonsense.error.is_some(), "{nonsense:?}");
    let forget = ask("q5", Ask::Forget { id: name("x") });
    assert!(forget.error.expect("an error").contains("has no x"));
    for port in ["40001", "1-5/tcp", "--help"] {
        let why = ask("q6", Ask::Why { port: port.into() });
        assert!(why.error.expect("an error").contains("expected"), "{port}");
    }
    // Nothing was changed.
    assert_eq!(node.keeper().fleet_entries().expect("entries"), []);
}
