use std::fs;
use std::future::Future;

use portkeep::PortRange;
use portkeep_fleet::engine::{Engine, EngineError, Event, Range};
use portkeep_fleet::testing::Etcd;
use portkeep_fleet_core::data::{
    Boot, Have, Key, Members, Name, Record, Report, Spec, Value, Want, WantState,
};
use portkeep_fleet_core::engine::{Outcome, Transaction};
use portkeep_tests::Sandbox;

use crate::common::{fleet, made, ok};

fn name(text: &str) -> Name {
    text.parse().expect("a name")
}

fn run<T>(body: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.expect("a runtime").block_on(body)
}

fn record() -> Record {
    let range: PortRange = "61000/tcp".parse().expect("a range");
    Record::preparing(range.into(), Members::Pieces(0))
}

fn of(key: &Key) -> Value {
    let boot = Boot {
        machine: name("m"),
        boot: name("b"),
    };
    match key {
        Key::Have(..) => Value::Have(Have::new(Report::Held, boot, 1, &[])),
        Key::Want(..) => Value::Want(Want::of(&record(), WantState::End)),
        Key::Spec(_) => Value::Spec(Spec::new(Default::default())),
        _ => Value::Record(Box::new(record())),
    }
}

async fn may_write(engine: &Engine, key: &Key) -> bool {
    let transaction = Transaction::default().put(key.clone(), of(key));
    match engine.transact(&transaction).await {
        Ok(Outcome::Done(_)) => true,
        Err(EngineError::Denied(_)) => false,
        other => panic!("{key}: {other:?}"),
    }
}

async fn may_read(engine: &Engine, key: &Key) -> bool {
    match engine.read(std::slice::from_ref(key)).await {
        Ok(_) => true,
        Err(EngineError::Denied(_)) => false,
        Err(other) => panic!("{key}: {other}"),
    }
}

pub fn of_a_node_cover_its_own_keys(_: &Sandbox) {
    let etcd = Etcd::with_members(1);
    made(&etcd, &["a", "ab"]);
    let node = Engine::new(etcd.config("a"));
    let (a, ab, id) = (name("a"), name("ab"), name("r"));
    run(async {
        let table = [
            (Key::Have(a.clone(), id.clone()), true, true),
            (Key::Want(a.clone(), id.clone()), true, false),
            (Key::Spec(a.clone()), true, false),
            (Key::Policy(id.clone()), true, false),
            (Key::Grant(id.clone()), false, false),
            (Key::Members(id.clone(), 0), false, false),
            (Key::Have(ab.clone(), id.clone()), false, false),
            (Key::Want(ab.clone(), id.clone()), false, false),
            (Key::Alive(ab.clone()), false, false),
        ];
        for (key, reads, writes) in table {
            assert_eq!(may_read(&node, &key).await, reads, "reading {key}");
            if !matches!(key, Key::Members(..) | Key::Alive(_)) {
                assert_eq!(may_write(&node, &key).await, writes, "writing {key}");
            }
        }
        // A transaction that only compares a foreign key says nothing about it.
        let spy = Transaction::default().expect(Key::Have(ab.clone(), id.clone()), None);
        let denied = node.transact(&spy).await.expect_err("denied");
        assert!(matches!(denied, EngineError::Denied(_)), "{denied}");
        for prefix in ["n/", "n/a", "grant/", ""] {
            let denied = node.list(prefix).await.expect_err(prefix);
            assert!(matches!(denied, EngineError::Denied(_)), "{denied}");
            let mut watch = node.watch(vec![Range::Prefix(prefix.to_owned())]);
            let event = watch.next().await;
            assert!(
                matches!(event, Event::Lost(EngineError::Denied(_))),
                "{event:?}"
            );
        }
        node.list("n/a/").await.expect("its own");
        node.list("policy/").await.expect("policies");
    });
}

pub fn of_people(_: &Sandbox) {
    let etcd = Etcd::with_members(1);
    let people = ["init", "--name=test", "--steward=s", "--viewer=v"];
    ok(fleet(&etcd, "root").args(people));
    let (a, id) = (name("a"), name("r"));
    let keys = [
        Key::Policy(id.clone()),
        Key::Grant(id.clone()),
        Key::Want(a.clone(), id.clone()),
        Key::Have(a, id),
    ];
    run(async {
        for (who, writes) in [
            ("operator", [true; 4]),
            ("s", [false, true, true, true]),
            ("v", [false; 4]),
        ] {
            let engine = Engine::new(etcd.config(who));
            for (key, may) in keys.iter().zip(writes) {
                assert!(may_read(&engine, key).await, "{who} reads {key}");
                assert_eq!(may_write(&engine, key).await, may, "{who} writes {key}");
            }
        }
    });
}

pub fn end_with_the_node(_: &Sandbox) {
    let etcd = Etcd::with_members(1);
    made(&etcd, &["a"]);
    let node = Engine::new(etcd.config("a"));
    let key = Key::Have(name("a"), name("r"));
    run(async { assert!(may_write(&node, &key).await) });
    ok(fleet(&etcd, "root").args(["node", "remove", "a", "--gone"]));
    run(async {
        let node = Engine::new(etcd.config("a"));
        assert!(!may_write(&node, &key).await);
        assert!(!may_read(&node, &key).await);
    });
}

/// An engine that runs takes a new certificate without a restart.
pub fn changed_certificates_are_read(_: &Sandbox) {
    let etcd = Etcd::with_members(1);
    made(&etcd, &["a", "b"]);
    let engine = Engine::new(etcd.config("a"));
    let (of_a, of_b) = (Key::Spec(name("a")), Key::Spec(name("b")));
    run(async {
        assert!(may_read(&engine, &of_a).await);
        assert!(!may_read(&engine, &of_b).await);
        etcd.config("b");
        for end in ["pem", "key"] {
            let file = |name: &str| etcd.directory().join(format!("{name}.{end}"));
            fs::rename(file("b"), file("a")).expect("replace the file");
        }
        while !may_read(&engine, &of_b).await {
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        }
        assert!(!may_read(&engine, &of_a).await);
    });
}
