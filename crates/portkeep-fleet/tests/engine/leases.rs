use portkeep_fleet::testing::Etcd;
use portkeep_fleet_core::data::Key;
use portkeep_fleet_core::engine::Transaction;
use portkeep_tests::Sandbox;

use crate::common::{Seen, alive, engine, get, name, put, run, spec, value};
use portkeep_fleet::engine::Range;

pub fn take_their_keys_along(_: &Sandbox) {
    let etcd = Etcd::with_members(1);
    let engine = engine(&etcd);
    run(async {
        let mut watch = engine.watch(vec![Range::Prefix("n/".to_owned())]);
        let mut seen = Seen::default();
        let key = Key::Alive(name("a"));
        let announce = Transaction::default().put(key.clone(), alive());
        let lease = engine.lease(60).await.expect("a lease");
        engine
            .transact_with(&announce, &lease)
            .await
            .expect("an outcome");
        seen.until(&mut watch, |seen| seen.keys.contains_key(&key))
            .await;
        lease.revoke().await;
        seen.until(&mut watch, |seen| !seen.keys.contains_key(&key))
            .await;
        // Without word of this process it ends by itself.
        let lease = engine.lease(2).await.expect("a lease");
        engine
            .transact_with(&announce, &lease)
            .await
            .expect("an outcome");
        seen.until(&mut watch, |seen| seen.keys.contains_key(&key))
            .await;
        drop(lease);
        seen.until(&mut watch, |seen| !seen.keys.contains_key(&key))
            .await;
    });
}

pub fn outlive_their_member(_: &Sandbox) {
    let mut etcd = Etcd::with_members(3);
    let engine = engine(&etcd);
    run(async {
        let key = Key::Alive(name("a"));
        let announce = Transaction::default().put(key.clone(), alive());
        let lease = engine.lease(6).await.expect("a lease");
        engine
            .transact_with(&announce, &lease)
            .await
            .expect("an outcome");
        for member in 0..3 {
            etcd.kill(member);
            put(&engine, &spec("a"), &value(1)).await;
            tokio::time::sleep(std::time::Duration::from_secs(3)).await;
            etcd.restart(member);
        }
        assert_eq!(get(&engine, &key).await, Some(alive()));
        assert!(!lease.is_lost());
        // Whoever may, takes it away.
        engine.revoke(&lease).await;
        lease.lost().await;
        assert_eq!(get(&engine, &key).await, None);
    });
}
