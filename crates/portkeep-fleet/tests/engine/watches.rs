use std::time::Duration;

use portkeep_fleet::engine::{Engine, Event, Range, Watch};
use portkeep_fleet::testing::Etcd;
use portkeep_fleet_core::data::Key;
use portkeep_fleet_core::engine::Transaction;
use portkeep_tests::Sandbox;

use crate::common::{Seen, engine, engine_of, put, run, spec, value};

fn nodes(engine: &Engine) -> Watch {
    engine.watch(vec![
        Range::Prefix("n/".to_owned()),
        Range::Prefix("policy/".to_owned()),
    ])
}

pub fn tell_each_change(_: &Sandbox) {
    let etcd = Etcd::with_members(1);
    let engine = engine(&etcd);
    run(async {
        put(&engine, &spec("a"), &value(1)).await;
        let mut watch = nodes(&engine);
        let mut seen = Seen::default();
        seen.next(&mut watch).await;
        assert_eq!(seen.listed, 1);
        assert_eq!(seen.keys.get(&spec("a")), Some(&value(1)));
        put(&engine, &spec("b"), &value(2)).await;
        put(&engine, &spec("a"), &value(3)).await;
        // A foreign fleet's key, and one that is none.
        put(&engine, &Key::Config, &value(4)).await;
        let delete = Transaction::default().delete(spec("b"));
        engine.transact(&delete).await.expect("an outcome");
        put(&engine, &spec("c"), &value(5)).await;
        seen.until(&mut watch, |seen| seen.keys.contains_key(&spec("c")))
            .await;
        assert_eq!(seen.keys.get(&spec("a")), Some(&value(3)));
        assert_eq!(seen.keys.len(), 2);
        assert_eq!((seen.listed, seen.lost), (1, 0));
    });
}

/// What was there is not told, and no change is missed, also over a member that dies.
pub fn from_now_on(_: &Sandbox) {
    let mut etcd = Etcd::with_members(3);
    let (watching, writing) = (engine_of(&etcd, 0), engine_of(&etcd, 1));
    run(async {
        put(&writing, &spec("a"), &value(1)).await;
        let mut watch = watching.watch_from_now(vec![
            Range::Prefix("n/".to_owned()),
            Range::Prefix("policy/".to_owned()),
        ]);
        assert_eq!(watch.next().await, Event::Resumed);
        let mut seen = Seen::default();
        put(&writing, &spec("b"), &value(2)).await;
        seen.until(&mut watch, |seen| seen.keys.contains_key(&spec("b")))
            .await;
        etcd.kill(0);
        seen.until(&mut watch, |seen| seen.lost == 1).await;
        put(&writing, &spec("c"), &value(3)).await;
        etcd.restart(0);
        seen.until(&mut watch, |seen| seen.keys.contains_key(&spec("c")))
            .await;
        assert!(!seen.keys.contains_key(&spec("a")));
        assert_eq!(seen.listed, 0);
    });
}

/// The watch's member is away while the others go on, and forget what it has missed.
pub fn go_on_after_compaction(_: &Sandbox) {
    let mut etcd = Etcd::with_members(3);
    let (watching, writing) = (engine_of(&etcd, 0), engine_of(&etcd, 1));
    run(async {
        put(&writing, &spec("gone"), &value(1)).await;
        let mut watch = nodes(&watching);
        let mut seen = Seen::default();
        seen.until(&mut watch, |seen| seen.listed == 1).await;
        etcd.kill(0);
        seen.until(&mut watch, |seen| seen.lost == 1).await;
        let delete = Transaction::default().delete(spec("gone"));
        put(&writing, &spec("a"), &value(1)).await;
        writing.transact(&delete).await.expect("an outcome");
        let last = put(&writing, &spec("b"), &value(1)).await;
        writing.compact(last).await.expect("compacted");
        etcd.restart(0);
        seen.until(&mut watch, |seen| seen.listed == 2).await;
        assert!(!seen.keys.contains_key(&spec("gone")));
        assert_eq!(seen.keys.len(), 2);
        put(&writing, &spec("c"), &value(1)).await;
        seen.until(&mut watch, |seen| seen.keys.contains_key(&spec("c")))
            .await;
    });
}

pub fn go_on_when_members_are_killed(_: &Sandbox) {
    let mut etcd = Etcd::with_members(3);
    let (watching, writing) = (engine(&etcd), engine(&etcd));
    run(async {
        let mut watch = nodes(&watching);
        let mut seen = Seen::default();
        seen.until(&mut watch, |seen| seen.listed == 1).await;
        for round in 0..6_u32 {
            let member = round as usize % 3;
            etcd.kill(member);
            for index in 0..10 {
                let number = round * 10 + index;
                put(&writing, &spec(&format!("n{index}")), &value(number)).await;
            }
            etcd.restart(member);
            seen.until(&mut watch, |seen| {
                seen.keys.get(&spec("n9")) == Some(&value(round * 10 + 9))
            })
            .await;
            for index in 0..10 {
                let found = seen.keys.get(&spec(&format!("n{index}")));
                assert_eq!(found, Some(&value(round * 10 + index)));
            }
        }
        // It resumed, and did not list again.
        assert_eq!(seen.listed, 1);
    });
}

pub fn leave_a_paused_member(_: &Sandbox) {
    let etcd = Etcd::with_members(3);
    run(async {
        let watching = engine(&etcd);
        let writers: Vec<Engine> = (0..3).map(|member| engine_of(&etcd, member)).collect();
        let mut watch = nodes(&watching);
        let mut seen = Seen::default();
        seen.until(&mut watch, |seen| seen.listed == 1).await;
        // Each of them once, so the one that it watches, too.
        for member in 0..3 {
            etcd.pause(member);
            let key = spec(&format!("n{member}"));
            put(&writers[(member + 1) % 3], &key, &value(1)).await;
            seen.until(&mut watch, |seen| seen.keys.contains_key(&key))
                .await;
            etcd.resume(member);
        }
        assert!(seen.lost >= 1, "{}", seen.lost);
        assert_eq!(seen.listed, 1);
    });
}

pub fn go_on_when_all_members_restart(_: &Sandbox) {
    let mut etcd = Etcd::with_members(3);
    let engine = engine(&etcd);
    run(async {
        let mut watch = nodes(&engine);
        let mut seen = Seen::default();
        seen.until(&mut watch, |seen| seen.listed == 1).await;
        put(&engine, &spec("a"), &value(1)).await;
        seen.until(&mut watch, |seen| seen.keys.len() == 1).await;
        for member in 0..3 {
            etcd.kill(member);
        }
        seen.until(&mut watch, |seen| seen.lost == 1).await;
        for member in 0..3 {
            etcd.restart(member);
        }
        put(&engine, &spec("b"), &value(1)).await;
        seen.until(&mut watch, |seen| seen.keys.len() == 2).await;
        assert_eq!(seen.listed, 1);
    });
}

pub fn list_again_after_a_new_cluster(_: &Sandbox) {
    let mut etcd = Etcd::with_members(1);
    let engine = engine(&etcd);
    let mut seen = Seen::default();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let mut watch = runtime.block_on(async {
        for number in 0..20 {
            put(&engine, &spec("a"), &value(number)).await;
        }
        let mut watch = nodes(&engine);
        seen.until(&mut watch, |seen| seen.listed == 1).await;
        watch
    });
    etcd.start_anew();
    runtime.block_on(async {
        let again = seen.until(&mut watch, |seen| seen.listed == 2);
        let limit = Duration::from_secs(100);
        tokio::time::timeout(limit, again).await.expect("in time");
    });
    assert!(seen.keys.is_empty());
    assert_ne!(seen.clusters[0], seen.clusters[1]);
}

/// A snapshot that is restored under the same names has the same cluster ID.
pub fn list_again_after_an_old_snapshot(_: &Sandbox) {
    let mut etcd = Etcd::with_members(1);
    let engine = engine(&etcd);
    let mut seen = Seen::default();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let mut watch = runtime.block_on(async {
        put(&engine, &spec("a"), &value(1)).await;
        etcd.kill(0);
        etcd.save(0);
        etcd.restart(0);
        for number in 2..20 {
            put(&engine, &spec("a"), &value(number)).await;
        }
        let mut watch = nodes(&engine);
        seen.until(&mut watch, |seen| seen.listed == 1).await;
        watch
    });
    etcd.kill(0);
    etcd.load(0);
    etcd.restart(0);
    runtime.block_on(async {
        let again = seen.until(&mut watch, |seen| seen.listed == 2);
        let limit = Duration::from_secs(100);
        tokio::time::timeout(limit, again).await.expect("in time");
    });
    assert_eq!(seen.keys.get(&spec("a")), Some(&value(1)));
    assert_eq!(seen.clusters[0], seen.clusters[1]);
}
