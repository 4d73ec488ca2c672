//! Beside other commands, and killed among them.

use std::ops::RangeInclusive;
use std::process::Stdio;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Instant;

use portkeep_tests::{Protocol, Sandbox};

use crate::common::persistent::{assert_agreed, enable, listed, protect, protected};
use crate::common::{done, outcome, portkeep};
use crate::scene::{apply, check, declare, directory};
use crate::strangers::{Shared, strangers};

const ONE: [&str; 4] = [
    "reserve 40000-40009/tcp root",
    "reserve 40020-40029/udp",
    "exclude 40040-40041/udp",
    "reserve 30000/tcp 65534",
];
const OTHER: [&str; 4] = [
    "reserve 39990-40004/tcp 65534",
    "reserve 40005-40019/tcp root",
    "reserve 40022-40030/udp root",
    "exclude 40041-40050/udp",
];

/// Applying, reserving, unreserving and enabling take turns, and none undoes another's.
pub fn several_at_once(sandbox: &Sandbox) {
    enable();
    declare(sandbox, "one.toml", &ONE[..3]);
    declare(sandbox, "other.toml", &["reserve 30010-30019/udp root"]);
    let (one, other) = (
        directory(sandbox).join("one.toml"),
        directory(sandbox).join("other.toml"),
    );
    let (one, other) = (one.to_str().expect("text"), other.to_str().expect("text"));
    let repeat = |words: &[&str]| {
        for _ in 0..15 {
            done(&mut portkeep(words));
        }
    };
    thread::scope(|scope| {
        scope.spawn(|| repeat(&["apply", one]));
        scope.spawn(|| repeat(&["apply", other]));
        scope.spawn(|| repeat(&["apply"]));
        scope.spawn(|| repeat(&["enable"]));
        for _ in 0..15 {
            done(&mut portkeep([
                "reserve",
                "20000-20009/tcp",
                "--user",
                "root",
            ]));
            done(&mut portkeep(["unreserve", "20003-20004/tcp"]));
            done(&mut portkeep([
                "unreserve",
                "20000-20002/tcp",
                "20005-20009/tcp",
            ]));
        }
    });
    assert_eq!(check(), "");
    assert_eq!(listed().len(), 4);
    assert_agreed();
}

pub fn killed_at_random_moments(sandbox: &Sandbox) {
    enable();
    protect("50000");
    declare(sandbox, "a.toml", &ONE);
    let start = Instant::now();
    apply();
    let whole = start.elapsed();
    // What both declare, for users that neither names.
    let kept = |protocol, ports: RangeInclusive<u16>| ports.map(move |port| (protocol, port));
    let kept = kept(Protocol::Tcp, 40000..=40009).chain(kept(Protocol::Udp, 40022..=40029));
    let kept = kept.collect();
    let shared = Shared::new();
    let trying = [false, true].map(|acquires| strangers(&kept, &shared, acquires));
    let (mut state, mut killed, mut rounds) = (0x9E37_79B9_7F4A_7C15_u64, 0, 0);
    while killed < 40 {
        rounds += 1;
        assert!(rounds < 2000, "{killed} of {rounds} were killed");
        declare(
            sandbox,
            "a.toml",
            if rounds % 2 == 0 { &ONE } else { &OTHER },
        );
        let mut command = portkeep(["apply"]);
        let mut child = command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("start the command");
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        thread::sleep(whole.mul_f64((state % 1000) as f64 / 1000.0));
        child.kill().expect("kill the command");
        killed += u32::from(child.wait().expect("wait").code().is_none());
        if killed % 10 == 0 {
            let words: &[&str] = if killed % 20 == 0 {
                &["enable"]
            } else {
                &["apply"]
            };
            let said = outcome(&mut portkeep(words));
            assert_eq!(said.code, Some(0), "{said:?}");
            assert_eq!(check(), "");
            assert_agreed();
        }
    }
    shared.stop().store(1, Ordering::Relaxed);
    for stranger in trying {
        assert_eq!(stranger.code(), 0);
    }
    declare(sandbox, "a.toml", &OTHER);
    apply();
    assert_eq!(check(), "");
    declare(sandbox, "a.toml", &[]);
    apply();
    assert_eq!(protected(), "50000");
    assert_eq!(listed(), [] as [&str; 0]);
}
