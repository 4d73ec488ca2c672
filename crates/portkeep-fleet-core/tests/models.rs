//! All states of the production state machines in small scopes, and the rules, each switched off.

mod scope;

use scope::Scope;

/// The scopes of a complete walk, with the number of their states.
const COMPLETE: &[(&str, Scope, usize)] = &[
    (
        "one member",
        Scope {
            nodes: 1,
            agent_crashes: 2,
            coordinator_crashes: 2,
            ..Scope::GRANT
        },
        0,
    ),
    ("two members", Scope::GRANT, 0),
    (
        "a crash of each side",
        Scope {
            agent_crashes: 1,
            coordinator_crashes: 1,
            ..Scope::GRANT
        },
        0,
    ),
    (
        "all keys lost",
        Scope {
            agent_crashes: 1,
            wipes: 1,
            ..Scope::GRANT
        },
        0,
    ),
    (
        "an old list",
        Scope {
            old_lists: 1,
            ..Scope::GRANT
        },
        0,
    ),
    (
        "a reboot",
        Scope {
            reboots: 1,
            ..Scope::GRANT
        },
        0,
    ),
    (
        "lost answers",
        Scope {
            nodes: 1,
            lost: 2,
            agent_crashes: 1,
            ..Scope::GRANT
        },
        0,
    ),
    (
        "two machines with one name",
        Scope {
            nodes: 1,
            clones: 1,
            expiries: 1,
            ..Scope::GRANT
        },
        0,
    ),
    (
        "two that compete",
        Scope {
            compete: true,
            nodes: 1,
            ..Scope::GRANT
        },
        0,
    ),
    (
        "a policy and a node that comes later",
        Scope {
            agent_crashes: 1,
            ..Scope::POLICY
        },
        0,
    ),
];

#[test]
fn the_protocol_holds_in_every_state() {
    for (name, scope, states) in COMPLETE {
        let found = scope.walk(2_000_000);
        println!(
            "{name}: {} states, {} steps deep",
            found.states, found.depth
        );
        assert_eq!(found.violation, None, "{name}: {:#?}", found.path);
        assert!(
            found.complete && found.committed && found.ended,
            "{name}: {found:?}"
        );
        let _ = states;
    }
}
