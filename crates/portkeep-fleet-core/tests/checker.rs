//! The checker finds planted violations, and nothing in a history that is right.

use portkeep::{PortRange, Protocol};
use portkeep_fleet_core::checker::{Event, Violation, What, check};
use portkeep_fleet_core::data::{Name, Ports};

fn name(text: &str) -> Name {
    text.parse().expect("a name")
}

fn ports(text: &str) -> Ports {
    text.parse::<PortRange>().expect("a range").into()
}

fn at(start: u64, end: u64, what: What) -> Event {
    Event { start, end, what }
}

fn granted(time: u64, id: &str, range: &str, nodes: &[&str]) -> Event {
    let nodes = nodes.iter().map(|node| name(node)).collect();
    let (id, ports) = (name(id), ports(range));
    at(time, time, What::Granted { id, ports, nodes })
}

fn asked(time: u64, id: &str) -> Event {
    at(time, time, What::ReleaseAsked(name(id)))
}

fn released(time: u64, id: &str) -> Event {
    at(time, time, What::Released(name(id)))
}

fn bind(start: u64, end: u64, node: &str, port: u16, by: Option<&str>, bound: bool) -> Event {
    let what = What::Bind {
        node: name(node),
        protocol: Protocol::Tcp,
        port,
        by: by.map(name),
        bound,
    };
    at(start, end, what)
}

/// One reservation after the other, with a stranger that tries all the time.
fn right() -> Vec<Event> {
    vec![
        bind(1, 2, "n1", 61000, None, true),
        granted(10, "a", "61000-61003/tcp", &["n1", "n2"]),
        bind(11, 12, "n1", 61000, None, false),
        bind(11, 12, "n2", 61003, Some("a"), true),
        bind(11, 12, "n1", 61004, None, true),
        bind(11, 12, "n3", 61000, None, true),
        asked(20, "a"),
        bind(21, 22, "n1", 61000, None, true),
        released(30, "a"),
        granted(40, "b", "61002-61005/tcp", &["n1"]),
        asked(50, "b"),
        released(60, "b"),
        bind(70, 71, "n1", 61002, None, true),
    ]
}

fn with(event: Event) -> Vec<Violation> {
    let mut history = right();
    history.push(event);
    check(&history)
}

#[test]
fn a_right_history() {
    assert_eq!(check(&right()), []);
    let mut backwards = right();
    backwards.reverse();
    assert_eq!(check(&backwards), []);
    assert_eq!(check(&[]), []);
}

#[test]
fn two_owners() {
    let found = with(granted(15, "c", "61003/tcp", &["n2"]));
    assert_eq!(
        found,
        [Violation::TwoOwners(name("a"), name("c"), name("n2"))]
    );
    assert_eq!(with(granted(15, "c", "61003/udp", &["n2"])), []);
    assert_eq!(with(granted(15, "c", "61004/tcp", &["n2"])), []);
    assert_eq!(with(granted(15, "c", "61003/tcp", &["n3"])), []);
}

#[test]
fn a_stranger_binds() {
    let opened = || Violation::Opened(name("a"), name("n2"), 61001);
    assert_eq!(with(bind(12, 13, "n2", 61001, None, true)), [opened()]);
    // Another reservation's consumer is a stranger, too.
    assert_eq!(with(bind(12, 13, "n2", 61001, Some("b"), true)), [opened()]);
}

#[test]
fn a_bind_at_the_edge_may_go_either_way() {
    assert_eq!(with(bind(9, 11, "n2", 61001, None, true)), []);
    assert_eq!(with(bind(19, 21, "n2", 61001, None, true)), []);
}

#[test]
fn an_owner_is_denied() {
    let denied = Violation::Denied(name("a"), name("n1"), 61002);
    assert_eq!(with(bind(12, 13, "n1", 61002, Some("a"), false)), [denied]);
}

#[test]
fn a_port_is_not_freed() {
    let kept = Violation::NotFreed(name("n1"), 61002);
    assert_eq!(with(bind(80, 81, "n1", 61002, None, false)), [kept]);
    // Before the end of all work on it, a refusal is right.
    assert_eq!(with(bind(55, 56, "n1", 61005, None, false)), []);
}

#[test]
fn a_refusal_left_something() {
    let mut history = right();
    let (id, ports) = (name("c"), ports("61010/tcp"));
    let nodes = vec![name("n1")];
    history.push(at(80, 80, What::Refused { id, ports, nodes }));
    history.push(released(81, "c"));
    history.push(asked(80, "c"));
    assert_eq!(check(&history), []);
    history.push(bind(90, 91, "n1", 61010, None, false));
    assert_eq!(check(&history), [Violation::NotFreed(name("n1"), 61010)]);
}

#[test]
fn a_node_that_lost_it_is_excused_from_then_on() {
    let mut history = right();
    history.push(bind(16, 17, "n2", 61001, None, true));
    history.push(at(15, 15, What::Lost(name("a"), name("n2"))));
    assert_eq!(check(&history), []);
    history.push(bind(13, 14, "n2", 61001, None, true));
    assert_eq!(
        check(&history),
        [Violation::Opened(name("a"), name("n2"), 61001)]
    );
}

#[test]
fn a_confused_history() {
    assert_eq!(with(released(80, "z")), [Violation::Confused(name("z"))]);
    let twice = with(granted(100, "a", "61000/tcp", &["n9"]));
    assert_eq!(twice, [Violation::Confused(name("a"))]);
}

#[test]
fn a_long_history_is_judged_at_once() {
    let mut history = Vec::new();
    for round in 0..50_000_u64 {
        let id = format!("g{round}");
        let node = format!("n{}", round % 100);
        history.push(granted(10 * round, &id, "61000/tcp", &[&node]));
        history.push(bind(
            10 * round + 1,
            10 * round + 2,
            &node,
            61000,
            None,
            false,
        ));
        history.push(asked(10 * round + 3, &id));
        history.push(released(10 * round + 4, &id));
    }
    assert_eq!(check(&history), []);
    history.push(bind(10 * 777 + 1, 10 * 777 + 2, "n77", 61000, None, true));
    assert_eq!(
        check(&history),
        [Violation::Opened(name("g777"), name("n77"), 61000)]
    );
}
