//! All states of the production state machines in small scopes, and the rules, each switched off.

mod scope;

use portkeep_fleet_core::rules::Rule;
use portkeep_fleet_core::simulation::Violation;
use scope::Scope;

const ONE: Scope = Scope {
    nodes: 1,
    ..Scope::GRANT
};

/// The scopes that the test walks through. `docs/fleet.md` has the number of their states.
const SCOPES: &[(&str, Scope)] = &[
    ("one member", ONE),
    (
        "one member, an agent dies",
        Scope {
            agent_crashes: 1,
            ..ONE
        },
    ),
    (
        "one member, a coordinator dies",
        Scope {
            coordinator_crashes: 1,
            ..ONE
        },
    ),
    ("one member, all keys lost", Scope { wipes: 1, ..ONE }),
    (
        "one member, an old list",
        Scope {
            agent_crashes: 1,
            old_lists: 1,
            ..ONE
        },
    ),
    ("one member, a reboot", Scope { reboots: 1, ..ONE }),
    ("one member, an answer lost", Scope { lost: 1, ..ONE }),
    (
        "two machines with one name",
        Scope {
            clones: 1,
            expiries: 1,
            ..ONE
        },
    ),
    (
        "two reservations that compete",
        Scope {
            compete: true,
            ..ONE
        },
    ),
    ("two members", Scope::GRANT),
    ("a policy and a node that comes later", Scope::POLICY),
    (
        "a policy, names of members are swept",
        Scope {
            coordinator_crashes: 1,
            sweeps: 1,
            ..Scope::POLICY
        },
    ),
    (
        "one member, and its node is removed",
        Scope {
            agent_crashes: 1,
            removals: 1,
            ..ONE
        },
    ),
    ("a change, and a node that comes later", CHANGE),
    (
        "a change, and a node that is down",
        Scope {
            down: true,
            ..CHANGE
        },
    ),
    ("two changes in turn, and a node that is down", IN_TURN),
    (
        "two changes that compete, a coordinator dies",
        Scope {
            changes: 2,
            coordinator_crashes: 1,
            ..CHANGE
        },
    ),
];

const CHANGE: Scope = Scope {
    changes: 1,
    ..Scope::POLICY
};

const IN_TURN: Scope = Scope {
    changes: 2,
    in_turn: true,
    down: true,
    ..CHANGE
};

/// What a walk is cut at, in transitions: in every run, and in the long ones unless
/// `PORTKEEP_FLEET_STATES` says otherwise.
const EVERY_RUN: usize = 90_000;
const LONG: usize = 20_000_000;

fn long() -> usize {
    let given = std::env::var("PORTKEEP_FLEET_STATES").ok();
    given.and_then(|text| text.parse().ok()).unwrap_or(LONG)
}

fn walk_all(most: usize) {
    for (name, scope) in SCOPES {
        let found = scope.walk(most);
        let complete = if found.complete { "complete" } else { "cut" };
        println!(
            "{name}: {} states, {} deep, {complete}",
            found.states, found.depth
        );
        assert_eq!(found.violation, None, "{name}: {:#?}", found.path);
        assert!(
            found.committed || !found.complete,
            "{name}: nothing was committed"
        );
        assert!(
            found.ended || !found.complete,
            "{name}: nothing was released"
        );
    }
}

#[test]
fn the_protocol_holds_in_every_state() {
    walk_all(EVERY_RUN);
}

/// Some minutes.
#[test]
#[ignore = "takes minutes"]
fn the_protocol_holds_in_every_state_of_all_scopes() {
    walk_all(long());
}

/// With more faults at a time, as far as memory goes.
#[test]
#[ignore = "takes many minutes"]
fn the_protocol_holds_with_several_faults() {
    let scope = Scope {
        agent_crashes: 1,
        coordinator_crashes: 1,
        wipes: 1,
        ..Scope::GRANT
    };
    let found = scope.walk(long());
    println!(
        "{} states, {} deep, complete: {}",
        found.states, found.depth, found.complete
    );
    assert_eq!(found.violation, None, "{:#?}", found.path);
}

fn caught(rule: Rule, scope: Scope) -> Violation {
    let scope = Scope {
        rules: Some(rule),
        ..scope
    };
    let found = scope.walk(1_500_000);
    println!(
        "{rule:?}: {:?} in {} steps, {} states",
        found.violation,
        found.path.len(),
        found.states
    );
    found
        .violation
        .unwrap_or_else(|| panic!("{rule:?} off is not noticed in {} states", found.states))
}

macro_rules! without {
    ($($test:ident: $rule:ident, $scope:expr => $violation:pat,)*) => {
        $(
            #[test]
            fn $test() {
                let found = caught(Rule::$rule, $scope);
                assert!(matches!(found, $violation), "{found:?}");
            }
        )*

        #[test]
        fn every_rule_is_switched_off() {
            let mut tried = vec![$(Rule::$rule),*];
            tried.sort_unstable();
            assert_eq!(tried, Rule::ALL);
        }
    };
}

without! {
    without_kernel_first: KernelFirst, ONE => Violation::UntrueVote(..),
    without_evidence: Evidence, Scope { wipes: 1, ..ONE } => Violation::Opened(..),
    without_no_timeouts: NoTimeouts, Scope { silences: 1, ..ONE } => Violation::Opened(..),
    without_one_decision: OneDecision, ONE => Violation::WentBack(..),
    without_guarded_writes: GuardedWrites, Scope::GRANT
        => Violation::AskedAfterEnd(..) | Violation::WentBack(..),
    without_vote_for_inbox: VoteForInbox, Scope { lost: 1, ..ONE } => Violation::UntrueVote(..),
    without_vote_as_node: VoteAsNode, Scope { clones: 1, expiries: 1, ..ONE }
        => Violation::ForeignVote(..),
    without_written_first: WrittenFirst, ONE => Violation::Unknown(..),
    without_same_boot: SameBoot, Scope { reboots: 1, ..ONE } => Violation::NotEnforced(..),
    without_joiners_announce: JoinersAnnounce, Scope { agent_crashes: 1, ..Scope::POLICY }
        => Violation::Leaked(..),
    without_one_change: OneChange, CHANGE => Violation::TwoOwners(..),
    without_successor_first: SuccessorFirst, Scope { down: true, ..CHANGE }
        => Violation::Opened(..),
    without_changes_in_turn: ChangesInTurn, IN_TURN => Violation::Opened(..),
    without_names_first: NamesFirst, Scope { sweeps: 1, ..Scope::POLICY }
        => Violation::Nameless(..),
    without_removed_by_word: RemovedByWord, Scope { agent_crashes: 1, expiries: 1, ..ONE }
        => Violation::Leaked(..),
}
