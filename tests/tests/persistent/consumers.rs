//! Who may bind in a persistent reservation.

use std::fs;
use std::os::unix::fs::MetadataExt;

use nix::unistd::{Gid, Uid, setgroups, setresgid, setresuid};
use portkeep_tests::enable::enable;
use portkeep_tests::libc::EADDRINUSE;
use portkeep_tests::raw::{self, CGROUP, GID, UID};
use portkeep_tests::{Sandbox, assert_errno, assert_ok, proc, sock};

use crate::scene::{COUNT, END, START, STRANGER, USER, assert_reserved, try_bind, try_bind_as};

fn create(consumers: &[raw::Consumer]) -> raw::Instance {
    assert_ok!(raw::create(sock::tcp4(), START, COUNT, 0, consumers))
}

pub(crate) fn users(sandbox: &Sandbox) {
    enable(sandbox);
    create(&[(GID, 5), (UID, USER.into())]);
    for port in [START, END] {
        assert_eq!(try_bind_as(USER, USER, port), 0);
        assert_eq!(try_bind_as(STRANGER, STRANGER, port), EADDRINUSE);
        // Root is no consumer either.
        assert_eq!(try_bind(port), EADDRINUSE);
    }
    let refused = sock::tcp4();
    assert_errno!(sock::bind_any(&refused, START), EADDRINUSE);
    let conflict = assert_ok!(raw::conflict(&refused));
    assert_eq!(
        (conflict.kind, conflict.port),
        (raw::CONFLICT_RESERVED, START)
    );
    assert_reserved(sandbox, [START..=END]);
}

pub(crate) fn groups(sandbox: &Sandbox) {
    enable(sandbox);
    create(&[(GID, 44)]);
    assert_eq!(try_bind_as(USER, 44, START), 0);
    assert_eq!(try_bind_as(44, USER, START), EADDRINUSE);
    for (groups, expected) in [([40, 44, 50], 0), ([40, 43, 45], EADDRINUSE)] {
        let child = proc::fork_child(|| {
            let (uid, gid) = (Uid::from_raw(USER), Gid::from_raw(USER));
            setgroups(&groups.map(Gid::from_raw)).expect("setgroups");
            setresgid(gid, gid, gid).expect("setresgid");
            setresuid(uid, uid, uid).expect("setresuid");
            try_bind(END)
        });
        assert_eq!(child.code(), expected, "{groups:?}");
    }
}

pub(crate) fn cgroups(sandbox: &Sandbox) {
    enable(sandbox);
    let inside = sandbox.cgroup().join("consumer");
    let child = inside.join("child");
    fs::create_dir_all(&child).expect("make cgroups");
    create(&[(
        CGROUP,
        fs::metadata(&inside).expect("stat the cgroup").ino(),
    )]);
    assert_eq!(proc::in_cgroup(&inside, || try_bind(START)), 0);
    assert_eq!(proc::in_cgroup(&child, || try_bind(END)), 0);
    assert_eq!(try_bind(START), EADDRINUSE);
}

pub(crate) fn everybody(sandbox: &Sandbox) {
    enable(sandbox);
    create(&[(CGROUP, 1)]);
    assert_eq!(try_bind_as(STRANGER, STRANGER, START), 0);
    assert_eq!(try_bind(END), 0);
    assert_errno!(raw::acquire4(sock::tcp4(), START, 1), EADDRINUSE);
    let pool = assert_ok!(raw::create(sock::tcp4(), 61000, 100, 0, &[(CGROUP, 1)]));
    let holder = sock::tcp4();
    let other = assert_ok!(raw::acquire(&holder, 0, 8));
    assert!(other.start >= pool.start + pool.count, "{other:?}");
}

pub(crate) fn nobody_but_associated_sockets(sandbox: &Sandbox) {
    enable(sandbox);
    let made = create(&[]);
    assert_eq!(try_bind(START), EADDRINUSE);
    let socket = sock::tcp4();
    assert_ok!(raw::associate(&socket, made.token));
    assert_ok!(sock::bind_any(&socket, 0));
    assert!((START..=END).contains(&sock::local_port(&socket)));
    let outside = sock::tcp4();
    assert_ok!(raw::associate(&outside, made.token));
    assert_errno!(sock::bind_any(&outside, END + 1), EADDRNOTAVAIL);
    assert_ok!(sock::bind_any(&outside, END));
}
