//! A reservation ends, or is cut, while its sockets connect and a stranger acquires its ports: no
//! socket ends up on a port that somebody else was granted, and nothing stays behind.

use std::net::Ipv4Addr;
use std::ops::RangeInclusive;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use portkeep_tests::proc::{drop_privileges, fork_child};
use portkeep_tests::reservations::list;
use portkeep_tests::socket2::Socket;
use portkeep_tests::{Protocol, Sandbox, assert_ok, enable, errno_name, libc, ports, raw, sock};

use crate::ledger::{USER, assert_charged, assert_empty};
use crate::race::{CONNECTORS, Outcome, Race};
use crate::scene::{BLOCK, BOTH, COUNT, Kind, Owner, START, socket4};
use crate::shared::Shared;

const ROUNDS: usize = 1000;

fn kind(protocol: Protocol) -> Kind {
    Kind::to(protocol, Ipv4Addr::LOCALHOST.into())
}

fn associated(protocol: Protocol, token: u64) -> Vec<Socket> {
    let socket = |_| {
        let socket = socket4(protocol);
        assert_ok!(raw::associate(&socket, token));
        socket
    };
    (0..CONNECTORS).map(socket).collect()
}

/// Everything can be had again.
fn assert_nothing_left(sandbox: &Sandbox) {
    assert_empty(sandbox, USER);
    for protocol in BOTH {
        assert_eq!(ports::probe_free(protocol, BLOCK), []);
        let (one, other) = (socket4(protocol), socket4(protocol));
        assert_ok!(raw::acquire4(&one, START, COUNT));
        drop(one);
        assert_ok!(raw::create(&other, START, COUNT, raw::EVERY_NETNS, &[]));
        assert_ok!(raw::delete(&other, START, COUNT, raw::EVERY_NETNS));
    }
    assert_empty(sandbox, USER);
}

pub(crate) fn release_and_connect(sandbox: &Sandbox) {
    enable::enable(sandbox);
    for protocol in BOTH {
        let child = fork_child(|| {
            drop_privileges(USER, USER);
            let owner = Mutex::new(None);
            let race = Race {
                kind: kind(protocol),
                rounds: ROUNDS,
                begin: &|_| {
                    let new = Owner::acquire(protocol, BLOCK, 0);
                    let sockets = associated(protocol, new.block.token);
                    *owner.lock().expect("the owner") = Some(new);
                    sockets
                },
                end: &|round| {
                    let owner = owner.lock().expect("the owner").take().expect("an owner");
                    // By either way to end it.
                    if round % 2 == 0 {
                        owner.release();
                    } else {
                        drop(owner);
                    }
                },
                wanted: &|_| BLOCK,
                check: &|_, outcome| {
                    let listed: Vec<_> = list(sandbox);
                    assert_eq!(listed.len(), usize::from(outcome.granted.is_some()));
                    if let (Some((_, block)), Some(listed)) = (&outcome.granted, listed.first()) {
                        assert_eq!(listed.token, block.token);
                    }
                },
            };
            race.run().assert_mixed(protocol);
            0
        });
        assert_eq!(child.code(), 0);
        assert_nothing_left(sandbox);
    }
}

/// What is deleted in a round: the whole block, or a part at the head, amid, or at the tail.
fn cut(round: usize) -> (RangeInclusive<u16>, u32) {
    match round % 5 {
        0 => (BLOCK, 0),
        1 => (BLOCK, raw::PART),
        2 => (START..=START + 1, raw::PART),
        3 => (START + 1..=START + 2, raw::PART),
        _ => (START + 2..=START + 3, raw::PART),
    }
}

fn delete(socket: &Socket, range: &RangeInclusive<u16>, flags: u32) -> Result<(), i32> {
    let count = range.end() - range.start() + 1;
    raw::delete(socket, *range.start(), count, flags)
}

/// Deletes; where sockets are connecting out of the block, it may be told to come again.
fn delete_soon(socket: &Socket, range: &RangeInclusive<u16>, flags: u32) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while let Err(errno) = delete(socket, range, flags) {
        assert!(
            [libc::ENOENT, libc::EBUSY, libc::EAGAIN].contains(&errno),
            "delete {range:?}: {}",
            errno_name(errno)
        );
        assert!(Instant::now() < deadline, "{range:?} cannot be deleted");
    }
}

fn deleted(sandbox: &Sandbox, scope: u32) {
    for protocol in BOTH {
        let child = fork_child(|| {
            let keeper = socket4(protocol);
            let clear_up = |_: usize, outcome: &Outcome| {
                let listed = list(sandbox);
                let mut granted = 0;
                for entry in listed {
                    if entry.lifetime == "persistent" {
                        delete_soon(&keeper, &entry.ports, scope);
                    } else {
                        granted += 1;
                    }
                }
                assert_eq!(granted, usize::from(outcome.granted.is_some()));
            };
            let race = Race {
                kind: kind(protocol),
                rounds: ROUNDS,
                begin: &|_| {
                    assert_eq!(list(sandbox), []);
                    let block = assert_ok!(raw::create(&keeper, START, COUNT, scope, &[]));
                    associated(protocol, block.token)
                },
                end: &|round| {
                    let (range, flags) = cut(round);
                    delete_soon(&keeper, &range, flags | scope);
                },
                wanted: &|round| cut(round).0,
                check: &clear_up,
            };
            race.run().assert_mixed(protocol);
            0
        });
        assert_eq!(child.code(), 0);
        assert_nothing_left(sandbox);
    }
}

pub(crate) fn delete_and_connect(sandbox: &Sandbox) {
    enable::enable(sandbox);
    deleted(sandbox, 0);
}

pub(crate) fn delete_in_every_namespace_and_connect(sandbox: &Sandbox) {
    enable::enable(sandbox);
    deleted(sandbox, raw::EVERY_NETNS);
}

/// Without a starting line: whoever is granted the block can bind to every port of it, for no
/// socket of its former owner is there or comes late.
pub(crate) fn storm(sandbox: &Sandbox) {
    enable::enable(sandbox);
    for protocol in BOTH {
        let (over, turns) = (Shared::new(), Shared::new());
        let owners: Vec<_> = [USER, USER - 1]
            .map(|uid| {
                fork_child(move || {
                    drop_privileges(uid, uid);
                    while over.get() == 0 {
                        own_for_a_moment(protocol);
                        turns.add_one();
                    }
                    0
                })
            })
            .into();
        let mut granted = 0;
        let deadline = Instant::now() + Duration::from_secs(60);
        while (granted < 300 || turns.get() < 1000) && Instant::now() < deadline {
            granted += usize::from(take_for_a_moment(protocol));
        }
        over.set(1);
        for owner in owners {
            assert_eq!(owner.code(), 0);
        }
        println!("{protocol:?}: {granted} grants, {} turns", turns.get());
        assert!(granted > 0 && turns.get() > 0);
        assert_nothing_left(sandbox);
        assert_charged(USER - 1, 0);
    }
}

/// Acquires, and releases while a thread connects.
fn own_for_a_moment(protocol: Protocol) {
    let keeper = socket4(protocol);
    if raw::acquire4(&keeper, START, COUNT).is_err() {
        return;
    }
    let token = assert_ok!(raw::instance(&keeper)).token;
    let sockets = associated(protocol, token);
    std::thread::scope(|scope| {
        for socket in &sockets {
            scope.spawn(move || {
                let _ = kind(protocol).connect(socket, crate::scene::CLOSED);
            });
        }
        assert_ok!(raw::release(&keeper, token));
    });
}

fn take_for_a_moment(protocol: Protocol) -> bool {
    let keeper = socket4(protocol);
    match raw::acquire4(&keeper, START, COUNT) {
        Ok(()) => {}
        Err(libc::EADDRINUSE) => return false,
        Err(errno) => panic!("acquire: {}", errno_name(errno)),
    }
    let token = assert_ok!(raw::instance(&keeper)).token;
    for port in BLOCK {
        let socket = socket4(protocol);
        assert_ok!(raw::associate(&socket, token));
        // The port was granted to us.
        assert_ok!(sock::bind_any(&socket, port));
    }
    true
}
