//! Whatever arrives: no panic, and nothing is released without an `end`.

use std::collections::{BTreeMap, BTreeSet};

use portkeep::{PortRange, Protocol};
use portkeep_fleet_core::agent::{Agent, Effect, Identity, Input, Refusal};
use portkeep_fleet_core::allocator::Allocator;
use portkeep_fleet_core::data::{
    Alive, Boot, FORMAT, Have, Key, Mode, Name, Ports, Report, Unknown, Value, Want, WantState,
};
use portkeep_fleet_core::engine::{Outcome, Read, Revision, Versioned};
use portkeep_fleet_core::points::Point;
use portkeep_fleet_core::rules::Rules;
use proptest::prelude::*;

fn name(text: &str) -> Name {
    text.parse().expect("a name")
}

fn boot(number: u8) -> Boot {
    Boot {
        machine: name(&format!("m{number}")),
        boot: name("b"),
    }
}

fn keys() -> Vec<Key> {
    let (node, id) = (name("n1"), name("r#1"));
    vec![
        Key::Alive(node.clone()),
        Key::Want(node.clone(), id.clone()),
        Key::Have(node, id.clone()),
        Key::Policy(id.clone()),
        Key::Grant(id.clone()),
        Key::Members(id.clone(), 7),
        Key::Hold(id),
        Key::Removed(name("n1")),
    ]
}

fn want(state: WantState) -> Want {
    Want {
        format: FORMAT,
        state,
        ports: "61000/tcp".parse::<PortRange>().expect("a port").into(),
        consumers: Vec::new(),
        generation: 1,
        unknown: Unknown::new(),
    }
}

/// What may come of the engine, right or wrong.
fn read() -> impl Strategy<Value = Read> {
    let found = (1..9_u64, 0..8_u8).prop_map(|(revision, kind)| {
        let have = |report| Value::Have(Have::new(report, boot(kind % 2), 1, &[]));
        let value = match kind {
            0 => Value::Want(want(WantState::Want)),
            1 => have(Report::Held),
            2 => have(Report::Refused),
            3 => have(Report::Released),
            4 => have(Report::Lost),
            5 => Value::Members(vec![name("n1")]),
            _ => Value::Alive(Alive {
                format: FORMAT,
                boot: boot(kind % 2),
                unknown: Unknown::new(),
            }),
        };
        let revision = Revision(revision);
        Versioned { revision, value }
    });
    let key = (0..8_usize).prop_map(|index| keys()[index].clone());
    (key, proptest::option::of(found)).prop_map(|(key, found)| Read { key, found })
}

fn outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        (1..9_u64).prop_map(|version| {
            let written = keys().into_iter().map(|key| (key, Revision(version)));
            Outcome::Done(written.collect())
        }),
        proptest::collection::vec(read(), 0..4).prop_map(Outcome::Differs),
        Just(Outcome::Unknown),
    ]
}

/// All that a driver may say, also at the wrong time; but neither `forget` nor an `end`.
fn input() -> impl Strategy<Value = Input> {
    let id = || name("r#1");
    prop_oneof![
        Just(Input::Connected),
        outcome().prop_map(Input::Announced),
        proptest::collection::vec(read(), 0..5).prop_map(Input::Listed),
        read().prop_map(Input::Read),
        any::<bool>().prop_map(move |written| Input::Noted(id(), written)),
        Just(Input::Created(name("r#1"), Ok(()))),
        Just(Input::Created(name("r#1"), Err(Refusal::default()))),
        Just(Input::Erased(name("r#1"))),
        outcome().prop_map(|outcome| Input::Voted(name("r#1"), outcome)),
        Just(Input::Gone(name("r#1"))),
        Just(Input::Retry(name("r#1"))),
        Just(Input::Silence),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn bytes_from_the_engine_do_no_harm(bytes: Vec<u8>, text in "[{}\\[\\]\":,a-z0-9 ]{0,60}") {
        for key in keys() {
            let _ = Value::decode(&key, &bytes);
            let _ = Value::decode(&key, text.as_bytes());
        }
    }

    #[test]
    fn keys_have_one_spelling(text in "(n|policy|grant|members|hold|removed)(/[a-z0-9+]{1,4}){1,3}") {
        if let Ok(key) = text.parse::<Key>() {
            prop_assert_eq!(key.to_string(), text);
        }
    }

    #[test]
    fn what_a_run_did_not_make_is_not_released_without_an_end(
        inputs in proptest::collection::vec(input(), 0..60),
    ) {
        let note = portkeep_fleet_core::agent::Note {
            lasting: false,
            ports: want(WantState::Want).ports,
            consumers: Vec::new(),
            generation: 1,
            mode: Mode::Reserve,
            replaces: None,
        };
        let identity = Identity {
            node: name("n1"),
            boot: boot(0),
            labels: BTreeMap::new(),
        };
        let kernel = BTreeSet::from([name("r#1")]);
        let mut agent = Agent::new(identity, Rules::default(), [(name("r#1"), note)], &kernel);
        for input in inputs {
            // An agent whose driver says that the note is gone has not released anything by that.
            if matches!(input, Input::Erased(_) | Input::Gone(_) | Input::Created(..) | Input::Noted(..)) {
                continue;
            }
            for effect in agent.step(input) {
                prop_assert!(!matches!(effect, Effect::Delete(_) | Effect::Erase(_)), "{effect:?}");
            }
        }
    }

    #[test]
    fn inputs_at_the_wrong_time_do_no_harm(inputs in proptest::collection::vec(input(), 0..80)) {
        let identity = Identity {
            node: name("n1"),
            boot: boot(0),
            labels: BTreeMap::new(),
        };
        let mut agent = Agent::new(identity, Rules::default(), [], &BTreeSet::new());
        for input in inputs {
            agent.step(input);
            agent.standing().count();
        }
    }

    #[test]
    fn a_block_is_free_and_aligned(
        taken in proptest::collection::vec((1..300_u16, 1..40_u16), 0..30),
        count in 0..80_u16,
        align in 0..9_u16,
        random: u64,
    ) {
        let band = PortRange::new(Protocol::Udp, 100, 300).expect("a band");
        let mut allocator = Allocator::new(band);
        for (start, length) in taken {
            let range = PortRange::with_count(Protocol::Udp, start, length).expect("a range");
            allocator.exclude(range);
        }
        let fits = |start: u16| {
            (start..start + count).all(|port| allocator.is_free(port)) && start.is_multiple_of(align)
        };
        let possible = count > 0 && align > 0 && (100..=300_u16).any(fits);
        match allocator.choose(count, align, random) {
            Ok(block) => {
                prop_assert_eq!(block.count(), count);
                prop_assert!(fits(block.start()));
            }
            Err(none) => {
                prop_assert!(!possible);
                prop_assert!(align > 1 || count == 0 || align == 0 || none.largest < count);
            }
        }
    }
}

#[test]
fn unknown_fields_are_kept_and_later_formats_refused() {
    let key = Key::Want(name("n1"), name("r1"));
    let text = r#"{"format":1,"state":"want","ports":["61000-61001/tcp"],"priority":{"a":[1]}}"#;
    let value = Value::decode(&key, text.as_bytes()).expect("decode");
    let written = String::from_utf8(value.encode()).expect("text");
    assert!(written.contains(r#""priority":{"a":[1]}"#), "{written}");
    let later = text.replace(r#""format":1"#, r#""format":2"#);
    assert!(Value::decode(&key, later.as_bytes()).is_err());
    for ports in [
        r#"[]"#,
        r#"["0/tcp"]"#,
        r#"["5-4/tcp"]"#,
        r#"["1-5/tcp","5/tcp"]"#,
    ] {
        let wrong = text.replace(r#"["61000-61001/tcp"]"#, ports);
        assert!(Value::decode(&key, wrong.as_bytes()).is_err(), "{ports}");
    }
}

#[test]
fn a_note_survives_its_file() {
    let note = portkeep_fleet_core::agent::Note {
        lasting: true,
        ports: Ports::try_from(vec!["10000-20000/udp".to_owned(), "53/tcp".to_owned()])
            .expect("ports"),
        consumers: vec!["user:asterisk".to_owned()],
        generation: 3,
        mode: Mode::Exclude,
        replaces: Some(name("rtp.0")),
    };
    let text = serde_json::to_string(&note).expect("write");
    let read: portkeep_fleet_core::agent::Note = serde_json::from_str(&text).expect("read");
    assert_eq!(read, note);
}

#[test]
fn points_have_names() {
    for point in Point::ALL {
        assert_eq!(point.name().parse(), Ok(*point));
    }
}
