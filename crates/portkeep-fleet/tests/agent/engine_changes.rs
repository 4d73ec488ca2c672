use portkeep_fleet::agent::local::Request;
use portkeep_fleet::engine::Engine;
use portkeep_fleet_core::data::{Key, Phase, Record, Report, Selector, Value, WantState};
use portkeep_tests::Sandbox;
use portkeep_tests::libc::EADDRINUSE;

use crate::common::made;
use crate::node::{Node, name, record, run, stranger, wait};

fn holding(sandbox: &Sandbox) -> Node<'_> {
    let node = Node::started(sandbox);
    node.policy("rtp", "40000/tcp", Phase::Committed);
    node.wait_report("rtp", Report::Held);
    node.grant("job", "61000/tcp", WantState::Want);
    node.wait_report("job", Report::Held);
    node.wait_standing("rtp", "held");
    node.wait_standing("job", "held");
    node
}

fn assert_closed() {
    assert_eq!(stranger(40000), Some(EADDRINUSE));
    assert_eq!(stranger(61000), Some(EADDRINUSE));
}

/// `forget` is the operator's word.
fn forget_all(node: &Node<'_>) {
    for (id, port) in [("rtp", 40000), ("job", 61000)] {
        node.wait_standing(id, "orphan");
        assert_eq!(stranger(port), Some(EADDRINUSE));
        let answer = node
            .ask(&Request::Forget { id: name(id) })
            .expect("an answer");
        assert_eq!(answer.error, None);
        wait("it opens", || stranger(port).is_none().then_some(()));
    }
    wait("the store is empty", || {
        node.keeper()
            .fleet_entries()
            .expect("entries")
            .is_empty()
            .then_some(())
    });
}

pub fn all_keys_are_deleted(sandbox: &Sandbox) {
    let mut node = holding(sandbox);
    let refused = node
        .ask(&Request::Forget { id: name("rtp") })
        .expect("an answer");
    assert!(
        refused
            .error
            .expect("an error")
            .contains("the engine knows rtp")
    );
    let listing = run(node.engine.list("")).expect("a listing");
    let keys: Vec<Key> = listing.reads.into_iter().map(|read| read.key).collect();
    node.remove(&keys);
    assert_closed();
    // A new agent reads nothing, and nothing follows from that.
    node.kill();
    node.start();
    wait("the node is no member any more", || {
        let status = node.status()?;
        let trouble = status["trouble"].as_str()?.to_owned();
        trouble.contains("no such node").then_some(())
    });
    assert_closed();
    made(&node.etcd, &["a"]);
    forget_all(&node);
}

pub fn a_new_cluster(sandbox: &Sandbox) {
    let mut node = holding(sandbox);
    node.etcd.start_anew();
    wait("the agent says so", || {
        let status = node.status()?;
        let trouble = status["trouble"].as_str()?.to_owned();
        trouble.contains("another etcd cluster").then_some(())
    });
    made(&node.etcd, &["a"]);
    // Not even an `end` of that engine is obeyed, nor by an agent that starts now.
    node.policy("rtp", "40000/tcp", Phase::Ending);
    node.kill();
    node.start();
    wait("the new agent says so", || {
        let status = node.status()?;
        let trouble = status["trouble"].as_str()?.to_owned();
        trouble.contains("another etcd cluster").then_some(())
    });
    assert_closed();
    assert_eq!(node.have("rtp"), None);
    node.remove(&[Key::Policy(name("rtp"))]);
    node.ask(&Request::AdoptEngine).expect("an answer");
    forget_all(&node);
}

pub fn an_old_snapshot(sandbox: &Sandbox) {
    let mut node = Node::new(sandbox);
    node.etcd.kill(0);
    node.etcd.save(0);
    node.etcd.restart(0);
    node.start();
    node.wait_until_acting();
    node.policy("rtp", "40000/tcp", Phase::Committed);
    node.grant("job", "61000/tcp", WantState::Want);
    node.wait_report("rtp", Report::Held);
    node.wait_report("job", Report::Held);
    let Value::Record(record) = record("50000/tcp", Phase::Preparing) else {
        unreachable!()
    };
    let selector = Selector([("no".to_owned(), "such".to_owned())].into());
    let foreign = Value::Record(Box::new(Record {
        selector,
        ..*record
    }));
    for number in 0..30 {
        node.put(Key::Policy(name(&format!("n{number}"))), foreign.clone());
    }
    node.etcd.kill(0);
    node.etcd.load(0);
    node.etcd.restart(0);
    wait("the agent says so", || {
        let status = node.status()?;
        let trouble = status["trouble"].as_str()?.to_owned();
        trouble.contains("old snapshot").then_some(())
    });
    assert_closed();
    node.engine = Engine::new(node.etcd.config("root"));
    node.ask(&Request::AdoptEngine).expect("an answer");
    forget_all(&node);
}
