//! Other consumers for a block that stays: who may bind changes at one instant, and nothing else.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use portkeep_tests::enable::enable;
use portkeep_tests::libc::EADDRINUSE;
use portkeep_tests::raw::{self, ADOPT, CHANGE, EVERY_NETNS, cgroup, group, user};
use portkeep_tests::{Sandbox, assert_errno, assert_ok, proc, reservations, sock};

use crate::ledger::{QUOTA, USER, assert_empty, unchanged};
use crate::user_namespace;

const PORT: u16 = 10100;
const OTHER: u32 = 1001;

/// What a process of this user gets from binding, and whom a refusal names.
fn bind(uid: u32) -> Result<(), u32> {
    let errno = proc::as_uid(uid, uid, || {
        let socket = sock::tcp4();
        match sock::bind_any(&socket, PORT + 2) {
            Ok(()) => 0,
            Err(errno) => {
                assert_eq!(errno, EADDRINUSE);
                let owner = assert_ok!(raw::conflict(&socket)).owner_uid;
                // An exit status is a byte.
                if owner == USER { 200 } else { 100 }
            }
        }
    });
    match errno {
        0 => Ok(()),
        200 => Err(USER),
        _ => Err(OTHER),
    }
}

pub(crate) fn of_who_may_bind(sandbox: &Sandbox) {
    enable(sandbox);
    for everywhere in [0, EVERY_NETNS] {
        let socket = sock::tcp4();
        let change = |consumers: &[(u32, u64)]| {
            raw::create(&socket, PORT, 8, CHANGE | everywhere, consumers)
        };
        let created = assert_ok!(raw::create(&socket, PORT, 8, everywhere, &[user(USER)]));
        let before = reservations::list(sandbox).remove(0);
        assert_eq!((bind(USER), bind(OTHER)), (Ok(()), Err(USER)));

        assert_eq!(assert_ok!(change(&[group(7), user(OTHER)])), created);
        assert_eq!((bind(USER), bind(OTHER)), (Err(OTHER), Ok(())));
        let after = reservations::list(sandbox).remove(0);
        assert_eq!((after.token, after.since), (before.token, before.since));
        assert_eq!(assert_ok!(raw::look_up(&socket, PORT, 8)), created);

        assert_eq!(assert_ok!(change(&[])), created);
        assert!(bind(USER).is_err() && bind(OTHER).is_err());
        // Everybody, but not by automatic choice.
        assert_eq!(assert_ok!(change(&[cgroup(1)])), created);
        assert_eq!((bind(USER), bind(OTHER)), (Ok(()), Ok(())));
        assert_ok!(raw::delete(&socket, PORT, 8, everywhere));
        assert_errno!(change(&[user(USER)]), ENOENT);
    }
    assert_empty(sandbox, USER);
}

pub(crate) fn refusals(sandbox: &Sandbox) {
    enable(sandbox);
    let (socket, runtime) = (sock::tcp4(), sock::tcp4());
    assert_ok!(raw::create(&socket, PORT, 8, 0, &[user(USER)]));
    assert_ok!(raw::create(
        &socket,
        PORT + 100,
        8,
        EVERY_NETNS,
        &[user(USER)]
    ));
    assert_ok!(raw::acquire4(&runtime, PORT + 50, 4));
    unchanged(sandbox, || {
        for (start, count, flags) in [
            (PORT, 7, 0),
            (PORT, 9, 0),
            (PORT + 1, 7, 0),
            (PORT + 8, 1, 0),
            (PORT, 8, EVERY_NETNS),
            (PORT + 100, 8, 0),
            (PORT + 50, 4, 0),
        ] {
            let refused = raw::create(&socket, start, count, CHANGE | flags, &[user(OTHER)]);
            assert_errno!(refused, ENOENT);
        }
        assert_errno!(raw::create(sock::udp4(), PORT, 8, CHANGE, &[]), ENOENT);
        for (start, count, flags) in [(PORT, 8, ADOPT), (0, 8, 0), (PORT, 0, 0)] {
            let refused = raw::create(&socket, start, count, CHANGE | flags, &[]);
            assert_errno!(refused, EINVAL);
        }
        let nine = [user(OTHER); 9];
        assert_errno!(raw::create(&socket, PORT, 8, CHANGE, &nine), EINVAL);
        assert_errno!(raw::create(&socket, PORT, 8, CHANGE, &[(9, 1)]), EINVAL);
        let refused = proc::as_uid(USER, USER, || {
            for flags in [0, EVERY_NETNS] {
                let refused = raw::create(sock::tcp4(), PORT, 8, CHANGE | flags, &[user(USER)]);
                assert_errno!(refused, EACCES);
            }
            0
        });
        assert_eq!(refused, 0);
    });
    assert_eq!(bind(USER), Ok(()));
}

/// The records of consumers count against whoever is charged for the block, as often as they are there.
pub(crate) fn charges(sandbox: &Sandbox) {
    enable(sandbox);
    // More than CONSUMERS_QUOTA.
    const ROUNDS: u32 = 600;
    let child = user_namespace::spawn(USER, "0 65534 1", || {
        proc::new_netns();
        let socket = sock::tcp4();
        assert_ok!(raw::create(&socket, 10000, QUOTA, 0, &[]));
        for _ in 0..ROUNDS {
            for consumers in [&[user(0)][..], &[user(0), group(0)], &[], &[]] {
                assert_ok!(raw::create(&socket, 10000, QUOTA, CHANGE, consumers));
            }
        }
        assert_ok!(raw::create(&socket, 10000, QUOTA, CHANGE, &[user(0)]));
        for _ in 0..ROUNDS {
            assert_ok!(raw::delete(&socket, 10000, QUOTA, 0));
            assert_ok!(raw::create(&socket, 10000, QUOTA, 0, &[]));
            assert_ok!(raw::create(&socket, 10000, QUOTA, CHANGE, &[user(0)]));
        }
        assert_ok!(raw::delete(&socket, 10000, QUOTA, 0));
        0
    });
    assert_eq!(child.code(), 0);
    assert_empty(sandbox, USER);
}

/// A user that may bind before and afterwards may at every instant, and no stranger ever.
pub(crate) fn beside_binds(sandbox: &Sandbox) {
    enable(sandbox);
    let is_done = AtomicBool::new(false);
    let socket = sock::tcp4();
    assert_ok!(raw::create(&socket, PORT, 8, 0, &[user(0)]));
    assert_ok!(raw::create(&socket, PORT + 8, 8, 0, &[user(OTHER)]));
    thread::scope(|scope| {
        let owner = scope.spawn(|| {
            let mut granted = 0_u32;
            while !is_done.load(Ordering::Relaxed) || granted < 1000 {
                assert_ok!(sock::bind_any(sock::tcp4(), PORT + 2));
                assert_errno!(sock::bind_any(sock::tcp4(), PORT + 9), EADDRINUSE);
                granted += 1;
            }
        });
        let many: Vec<_> = (2000..2007).map(user).chain([user(0)]).collect();
        for _ in 0..10_000 {
            assert_ok!(raw::create(&socket, PORT, 8, CHANGE, &many));
            assert_ok!(raw::create(&socket, PORT + 8, 8, CHANGE, &many[..7]));
            assert_ok!(raw::create(&socket, PORT, 8, CHANGE, &[user(0)]));
            assert_ok!(raw::create(&socket, PORT + 8, 8, CHANGE, &[user(OTHER)]));
        }
        is_done.store(true, Ordering::Relaxed);
        owner.join().expect("every bind as expected");
    });
}

/// Several administrators change, cut, join and delete the same blocks.
pub(crate) fn beside_others(sandbox: &Sandbox) {
    enable(sandbox);
    let children: Vec<_> = (0..3)
        .map(|which: u32| {
            proc::fork_child(move || {
                let socket = sock::tcp4();
                for round in 0..3000 {
                    let consumers = [user(2000 + which), user(USER)];
                    for count in [8, 16] {
                        let flags = if round % 3 == 0 { 0 } else { CHANGE };
                        let number = round as usize % 3;
                        let _ = raw::create(&socket, PORT, count, flags, &consumers[..number]);
                    }
                    let _ = raw::delete(&socket, PORT + 8, 8, raw::SPLIT);
                    let _ = raw::delete(&socket, PORT + 8, 8, raw::JOIN);
                    if round % 5 == 0 {
                        let _ = raw::delete(&socket, PORT, 16, 0);
                        let _ = raw::delete(&socket, PORT + 4, 4, raw::PART);
                    }
                }
                0
            })
        })
        .collect();
    for child in children {
        assert_eq!(child.code(), 0);
    }
    // What is left is whole: it can be changed, and ends.
    let socket = sock::tcp4();
    for left in reservations::list(sandbox) {
        let (start, count) = (*left.ports.start(), left.ports.len() as u16);
        assert_ok!(raw::create(&socket, start, count, CHANGE, &[user(USER)]));
        assert_ok!(raw::delete(&socket, start, count, 0));
    }
    assert_empty(sandbox, USER);
}
