//! Ways around the quota that are closed.

use nix::sched::{CloneFlags, unshare};
use nix::unistd::{Uid, setresuid};
use portkeep_tests::enable::enable;
use portkeep_tests::socket2::Socket;
use portkeep_tests::{Sandbox, assert_errno, assert_ok, libc, proc, raw, sock};

use crate::capabilities::{SETUID, keep_only};
use crate::ledger::{QUOTA, USER, assert_empty};
use crate::user_namespace::spawn;

/// `CHUNK_QUOTA` of `bpf/maps.h`.
const NAMESPACES: usize = 512;

/// Only its maker, as root.
const ALONE: &str = "0 65534 1";

pub(crate) fn whoever_can_become_anybody_counts_once(sandbox: &Sandbox) {
    enable(sandbox);
    let child = proc::fork_child(|| {
        keep_only(SETUID);
        let become_user = |uid| {
            let root = Uid::from_raw(0);
            setresuid(Uid::from_raw(uid), root, root).expect("setresuid");
        };
        let socket = sock::tcp4();
        become_user(USER);
        assert_ok!(raw::acquire4(&socket, 10000, QUOTA));
        become_user(USER - 1);
        assert_errno!(raw::acquire4(&socket, 20000, 1), EDQUOT);
        0
    });
    assert_eq!(child.code(), 0);
    assert_empty(sandbox, USER);
}

/// Makes a network namespace and reserves a port there.
fn reserve_in_another_namespace() -> (Socket, Result<(), i32>) {
    unshare(CloneFlags::CLONE_NEWNET).expect("unshare the network namespace");
    let socket = sock::tcp4();
    let result = raw::acquire4(&socket, 61000, 1);
    (socket, result)
}

pub(crate) fn nobody_fills_the_table_with_namespaces(sandbox: &Sandbox) {
    enable(sandbox);
    let child = spawn(USER, ALONE, || {
        // A socket keeps its namespace alive.
        let mut sockets = Vec::new();
        for _ in 0..NAMESPACES {
            let (socket, result) = reserve_in_another_namespace();
            assert_ok!(result);
            sockets.push(socket);
        }
        let (socket, result) = reserve_in_another_namespace();
        assert_errno!(result, EDQUOT);
        let conflict = assert_ok!(raw::conflict(&socket));
        assert_eq!((conflict.kind, conflict.port), (raw::CONFLICT_QUOTA, 0));
        // Where a chunk is already, nothing more is needed.
        assert_ok!(raw::acquire4(&sockets[0], 61001, 1));
        0
    });
    assert_eq!(child.code(), 0);
    // Nobody else noticed; and when the namespaces have gone, neither does the user any more.
    assert_ok!(raw::acquire4(sock::tcp4(), 61000, 1));
    let again = || {
        let child = spawn(USER, ALONE, || match reserve_in_another_namespace().1 {
            Ok(()) => 0,
            Err(errno) => errno,
        });
        child.code()
    };
    // The kernel takes them down when it likes; if it never does, the trial is killed in the end.
    loop {
        match again() {
            0 => break,
            errno => assert_eq!(errno, libc::ENOBUFS),
        }
        proc::wait_for_grace_period();
    }
    assert_empty(sandbox, USER);
}
