//! Users of user namespaces.

use std::fs;

use nix::sched::{CloneFlags, unshare};
use portkeep_tests::enable::enable;
use portkeep_tests::proc::fork_child;
use portkeep_tests::{Channel, Event, Protocol, Sandbox, assert_errno, assert_ok, raw, sock};

use crate::holder::Holder;
use crate::ledger::{QUOTA, USER, assert_charged, assert_empty, sorted};
use crate::user_namespace::{become_user, spawn};

/// The maker alone, as root.
const ALONE: &str = "0 65534 1";

/// The maker as root, and subordinate ids, subuid(5).
const WITH_SUBORDINATES: &str = "0 65534 1\n1 200000 1000";

/// A container of root's: none of its ids is the maker's.
const CONTAINER: &str = "0 100000 1000";

pub(crate) fn a_namespaces_capabilities_do_not_lift_the_quota(sandbox: &Sandbox) {
    enable(sandbox);
    let (own, others) = Channel::pair();
    let done = Event::new();
    let inside = spawn(USER, ALONE, || {
        let held = sock::tcp4();
        assert_errno!(raw::acquire4(&held, 10000, QUOTA + 1), EDQUOT);
        assert_ok!(raw::acquire4(&held, 10000, QUOTA));
        assert_errno!(raw::acquire4(&held, 20000, 1), EDQUOT);
        // Nor do they in a network namespace that belongs to the user namespace.
        unshare(CloneFlags::CLONE_NEWNET).expect("unshare the network namespace");
        assert_errno!(raw::acquire4(sock::udp4(), 10000, 1), EDQUOT);
        others.send(0);
        done.wait();
        0
    });
    assert_eq!(own.recv(), 0);
    assert_charged(USER, QUOTA);
    done.set();
    assert_eq!(inside.code(), 0);
    assert_empty(sandbox, USER);
}

pub(crate) fn ids_inside_count_against_its_maker(sandbox: &Sandbox) {
    enable(sandbox);
    let (own, others) = Channel::pair();
    let done = Event::new();
    let inside = spawn(USER, WITH_SUBORDINATES, || {
        let holders = [(0, 10000), (1, 11000), (2, 12000), (999, 13000)]
            .map(|(uid, start)| hold(uid, start, 1000));
        assert_errno!(raw::acquire4(sock::tcp4(), 20000, 97), EDQUOT);
        others.send(0);
        done.wait();
        drop(holders);
        0
    });
    assert_eq!(own.recv(), 0);
    let mut uids: Vec<_> = sorted(sandbox).iter().map(|held| held.uid).collect();
    uids.sort_unstable();
    assert_eq!(uids, [USER, 200_000, 200_001, 200_998]);
    assert_charged(USER, 4000);
    // Outside the namespace the ids are users like any other.
    assert_charged(200_000, 0);
    let other = Holder::start(200_001, Protocol::Tcp, 20000, QUOTA);
    assert_charged(USER, 4000);
    drop(other);
    done.set();
    assert_eq!(inside.code(), 0);
    assert_empty(sandbox, USER);
    assert_empty(sandbox, 200_000);
}

fn hold(uid: u32, start: u16, count: u16) -> (portkeep_tests::proc::Child, Event) {
    let (held, done) = (Event::new(), Event::new());
    let child = fork_child(|| {
        become_user(uid);
        let socket = sock::tcp4();
        assert_ok!(raw::acquire4(&socket, start, count));
        held.set();
        done.wait();
        0
    });
    held.wait();
    (child, done)
}

pub(crate) fn nested_namespaces_count_against_the_outermost_maker(sandbox: &Sandbox) {
    enable(sandbox);
    let inside = spawn(USER, WITH_SUBORDINATES, || {
        let held = sock::udp4();
        assert_ok!(raw::acquire4(&held, 10000, QUOTA - 10));
        let nested = fork_child(|| {
            become_user(5);
            for _ in 0..5 {
                let uid = nix::unistd::getuid();
                unshare(CloneFlags::CLONE_NEWUSER).expect("unshare the user namespace");
                for (file, text) in [
                    ("uid_map", format!("{uid} {uid} 1")),
                    ("setgroups", "deny".to_owned()),
                    ("gid_map", format!("{uid} {uid} 1")),
                ] {
                    fs::write(format!("/proc/self/{file}"), text).expect("map itself");
                }
                assert_errno!(raw::acquire4(sock::tcp4(), 20000, 11), EDQUOT);
                assert_ok!(raw::acquire4(sock::tcp4(), 20000, 10));
            }
            0
        });
        nested.code()
    });
    assert_eq!(inside.code(), 0);
    assert_empty(sandbox, USER);
    assert_empty(sandbox, 200_004);
}

/// Root dealt the ids out, so each is an account of its own; but root of the container is not root.
pub(crate) fn a_containers_users_have_quotas_of_their_own(sandbox: &Sandbox) {
    enable(sandbox);
    let (own, others) = Channel::pair();
    let done = Event::new();
    let inside = spawn(0, CONTAINER, || {
        let held = sock::tcp4();
        assert_ok!(raw::acquire4(&held, 10000, QUOTA));
        assert_errno!(raw::acquire4(&held, 20000, 1), EDQUOT);
        let holder = hold(1, 15000, QUOTA);
        others.send(0);
        done.wait();
        drop(holder);
        0
    });
    assert_eq!(own.recv(), 0);
    for (uid, held) in [(100_000, QUOTA), (100_001, QUOTA), (100_002, 0), (USER, 0)] {
        assert_charged(uid, held);
    }
    done.set();
    assert_eq!(inside.code(), 0);
    for uid in [100_000, 100_001] {
        assert_empty(sandbox, uid);
    }
}

pub(crate) fn privileged_ports_are_the_network_namespaces(sandbox: &Sandbox) {
    enable(sandbox);
    for (maker, map) in [(USER, ALONE), (0, CONTAINER)] {
        let inside = spawn(maker, map, || {
            let outer = sock::tcp4();
            assert_errno!(raw::acquire4(&outer, 80, 1), EACCES);
            assert_eq!(
                assert_ok!(raw::conflict(&outer)).kind,
                raw::CONFLICT_NOT_PERMITTED
            );
            unshare(CloneFlags::CLONE_NEWNET).expect("unshare the network namespace");
            let inner = sock::tcp4();
            assert_ok!(raw::acquire4(&inner, 80, 1));
            assert_ok!(raw::acquire4(&inner, 1, 79));
            // Where the socket is made counts.
            assert_errno!(raw::acquire4(&outer, 80, 1), EACCES);
            let without = fork_child(|| {
                if map != ALONE {
                    become_user(7);
                    assert_errno!(raw::acquire4(sock::udp4(), 80, 1), EACCES);
                }
                // Root of a namespace below has no capability in this one.
                unshare(CloneFlags::CLONE_NEWUSER).expect("unshare the user namespace");
                assert_errno!(raw::acquire4(sock::udp4(), 80, 1), EACCES);
                0
            });
            without.code()
        });
        assert_eq!(inside.code(), 0);
        assert_empty(sandbox, USER);
    }
}

pub(crate) fn owners_are_told_by_their_outer_ids(sandbox: &Sandbox) {
    enable(sandbox);
    let (own, others) = Channel::pair();
    let done = Event::new();
    let inside = spawn(USER, WITH_SUBORDINATES, || {
        unshare(CloneFlags::CLONE_NEWPID).expect("unshare the process namespace");
        let first = fork_child(|| {
            become_user(3);
            assert_eq!(std::process::id(), 1);
            let held = sock::tcp4();
            let block = assert_ok!(raw::acquire(&held, 10000, 8));
            // It is the owner, by whichever number it is known.
            let associated = sock::tcp4();
            assert_ok!(raw::associate(&associated, block.token));
            others.send(0);
            done.wait();
            assert_ok!(raw::release(&held, block.token));
            0
        });
        first.code()
    });
    assert_eq!(own.recv(), 0);
    let children = format!("/proc/{0}/task/{0}/children", inside.pid());
    let children = fs::read_to_string(children).expect("list the children");
    let pid: u32 = children.trim().parse().expect("one child");
    let list = sorted(sandbox);
    assert_eq!((list[0].pid, list[0].uid), (pid, 200_002));
    let refused = sock::tcp4();
    assert_errno!(sock::bind_any(&refused, 10000), EADDRINUSE);
    let conflict = assert_ok!(raw::conflict(&refused));
    assert_eq!((conflict.owner_pid, conflict.owner_uid), (pid, 200_002));
    done.set();
    assert_eq!(inside.code(), 0);
    assert_empty(sandbox, USER);
}
