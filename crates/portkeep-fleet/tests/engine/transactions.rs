use portkeep_fleet::engine::{EngineError, MAX_OPERATIONS, Range};
use portkeep_fleet::testing::Etcd;
use portkeep_fleet_core::data::Key;
use portkeep_fleet_core::engine::{Outcome, Transaction};
use portkeep_tests::Sandbox;

use crate::common::{engine, engine_of, get, name, put, run, spec, value};

pub fn happen_or_differ(_: &Sandbox) {
    let etcd = Etcd::with_members(1);
    let engine = engine(&etcd);
    run(async {
        let create = |number| {
            Transaction::default()
                .expect(spec("a"), None)
                .put(spec("a"), value(number))
                .put(spec("b"), value(number))
        };
        let done = engine.transact(&create(1)).await.expect("an outcome");
        let Outcome::Done(written) = done else {
            panic!("{done:?}")
        };
        assert_eq!(written.len(), 2);
        let differs = engine.transact(&create(2)).await.expect("an outcome");
        let Outcome::Differs(reads) = differs else {
            panic!("{differs:?}")
        };
        let found = reads[0].found.clone().expect("a value");
        assert_eq!((found.revision, found.value), (written[0].1, value(1)));
        assert_eq!(get(&engine, &spec("b")).await, Some(value(1)));
        let delete = Transaction::default()
            .expect(spec("a"), Some(written[0].1))
            .expect(spec("c"), None)
            .delete(spec("a"));
        let done = engine.transact(&delete).await.expect("an outcome");
        assert!(matches!(done, Outcome::Done(_)), "{done:?}");
        assert_eq!(get(&engine, &spec("a")).await, None);
        let again = engine.transact(&delete).await.expect("an outcome");
        let Outcome::Differs(reads) = again else {
            panic!("{again:?}")
        };
        assert_eq!(reads.iter().filter(|read| read.found.is_some()).count(), 0);
    });
}

pub fn of_too_many_operations_are_refused(_: &Sandbox) {
    let etcd = Etcd::with_members(1);
    let engine = engine(&etcd);
    run(async {
        let of = |count: usize| {
            let keys = (0..count).map(|index| spec(&format!("n{index}")));
            keys.fold(Transaction::default(), |transaction, key| {
                transaction.expect(key.clone(), None).put(key, value(1))
            })
        };
        let refused = engine.transact(&of(MAX_OPERATIONS + 1)).await;
        let refused = refused.expect_err("too many");
        assert!(matches!(refused, EngineError::Refused(_)), "{refused}");
        let done = engine
            .transact(&of(MAX_OPERATIONS))
            .await
            .expect("an outcome");
        assert!(matches!(done, Outcome::Done(_)), "{done:?}");
    });
}

pub fn without_an_answer_are_unknown(_: &Sandbox) {
    let etcd = Etcd::with_members(1);
    let engine = engine(&etcd);
    run(async {
        put(&engine, &spec("a"), &value(1)).await;
        etcd.pause(0);
        let transaction = Transaction::default().put(spec("a"), value(2));
        let outcome = engine.transact(&transaction).await.expect("an outcome");
        assert_eq!(outcome, Outcome::Unknown);
        etcd.resume(0);
        let found = get(&engine, &spec("a")).await;
        assert!(found == Some(value(1)) || found == Some(value(2)));
    });
}

pub fn that_were_not_sent_are_errors(_: &Sandbox) {
    let mut etcd = Etcd::with_members(1);
    let engine = engine(&etcd);
    etcd.kill(0);
    run(async {
        let transaction = Transaction::default().put(spec("a"), value(2));
        let error = engine.transact(&transaction).await.expect_err("no etcd");
        assert!(matches!(error, EngineError::Unreachable(_)), "{error}");
        engine.list("n/").await.expect_err("no etcd");
    });
}

pub fn listings_are_of_one_instant(_: &Sandbox) {
    let etcd = Etcd::with_members(3);
    let engine = engine(&etcd);
    run(async {
        // More than a page.
        for chunk in 0..20 {
            let keys = (0..120).map(|index| spec(&format!("n{}", chunk * 120 + index)));
            let all = keys.fold(Transaction::default(), |transaction, key| {
                transaction.put(key, value(1))
            });
            engine.transact(&all).await.expect("an outcome");
        }
        let one = engine_of(&etcd, 1);
        let ranges = [Range::Prefix("n/".to_owned()), Range::Key(Key::Config)];
        let listing = one.list_all(&ranges).await.expect("a listing");
        assert_eq!(listing.reads.len(), 2400);
        assert!(listing.revision >= 21);
        assert_eq!(one.cluster(), engine.cluster());
        let none = one.list("policy/").await.expect("a listing");
        assert_eq!(none.reads, []);
        let keys: Vec<Key> = (0..300).map(|index| spec(&format!("n{index}"))).collect();
        let reads = one.read(&keys).await.expect("reads");
        assert!(reads.iter().all(|read| read.found.is_some()));
        // Of the whole prefix one key is a node's; a name that begins with another is not that one.
        let listing = one.list(&format!("n/{}/", name("n1"))).await;
        assert_eq!(listing.expect("a listing").reads.len(), 1);
    });
}
