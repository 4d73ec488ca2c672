//! An installation at a cgroup and another one, with a BPF file system of its own, below it.

use std::fs;
use std::path::{Path, PathBuf};

use portkeep_admin::{InstallOptions, Installation};
use portkeep_tests::socket2::Socket;
use portkeep_tests::{Sandbox, assert_errno, assert_ok, enable, proc, raw, reservations, sock};

use crate::kinds::assert_all;
use crate::scene::{BOTH, acquire_ports, socket4, try_bind};

/// Installs at the cgroup in which the trial runs.
fn enable_inner(sandbox: &Sandbox) -> PathBuf {
    let bpffs = sandbox.state_dir().join("inner");
    fs::create_dir(&bpffs).expect("make a directory");
    enable::enable_with(&InstallOptions {
        installation: Installation {
            cgroup: Some(sandbox.inside_cgroup()),
            bpffs: Some(bpffs.clone()),
            ..enable::installation(sandbox)
        },
        ..enable::options(sandbox)
    });
    bpffs
}

/// How many reservations an installation lists.
fn count(bpffs: &Path) -> usize {
    let list = fs::read_to_string(bpffs.join("portkeep/reservations"));
    list.expect("the list").lines().count() - 1
}

pub(crate) fn the_inner_one_answers(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let inner = enable_inner(sandbox);
    for protocol in BOTH {
        let socket = socket4(protocol);
        assert_eq!(raw::version(&socket), Ok(1));
        let owner = acquire_ports(protocol, 62000..=62003, 0);
        assert_eq!((count(&inner), reservations::list(sandbox)), (1, vec![]));
        let associated = owner.associated();
        assert_eq!(raw::associated(&associated), Ok(owner.instance.token));
        assert_ok!(sock::bind_any(&associated, 0));
        assert_eq!(sock::local_port(&associated), 62000);
        assert_errno!(sock::bind_any(owner.associated(), 61000), EADDRNOTAVAIL);
        assert_errno!(raw::acquire4(&socket, 62003, 2), EADDRINUSE);
        assert_eq!(assert_ok!(raw::conflict(&socket)).port, 62003);
        assert_errno!(sock::bind_any(&socket, 62001), EADDRINUSE);
        assert_eq!(assert_ok!(raw::conflict(&socket)).port, 62001);
        assert_errno!(raw::associate(&socket, 12345), EINVAL);
        assert_ok!(raw::release(&socket, owner.instance.token));
        assert_errno!(raw::release(&socket, owner.instance.token), EINVAL);
        assert_eq!(count(&inner), 0);
    }
}

pub(crate) fn both_enforce(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let beside = sandbox.cgroup().join("beside");
    fs::create_dir(&beside).expect("make a cgroup");
    let before: Vec<_> = BOTH
        .map(|protocol| acquire_ports(protocol, 61000..=61003, 0))
        .into();
    let inner = enable_inner(sandbox);
    for protocol in BOTH {
        let owner = acquire_ports(protocol, 62000..=62003, 0);
        for port in [61000, 61003, 62000, 62003] {
            assert_all(protocol, port, libc::EADDRINUSE);
        }
        for port in [61004, 61999, 62004] {
            assert_all(protocol, port, 0);
        }
        // The outer one reaches further than the inner one.
        let code = proc::in_cgroup(&beside, || {
            assert_all(protocol, 61000, libc::EADDRINUSE);
            assert_all(protocol, 62000, 0);
            let outer = acquire_ports(protocol, 63000..=63000, 0);
            assert_eq!(reservations::list(sandbox).len(), before.len() + 1);
            drop(outer);
            0
        });
        assert_eq!(code, 0);
        drop(owner);
        assert_eq!(try_bind(protocol, 62000), 0);
    }
    assert_eq!(count(&inner), 0);
    // The inner one has no part in what the outer one keeps, and its end is seen by the outer one.
    drop::<Vec<_>>(before);
    assert_eq!(reservations::list(sandbox), []);
    for protocol in BOTH {
        assert_all(protocol, 61000, 0);
    }
    removed_inner_leaves_the_outer(sandbox, inner);
}

fn removed_inner_leaves_the_outer(sandbox: &Sandbox, inner: PathBuf) {
    let removed = portkeep_admin::remove(&Installation {
        cgroup: Some(sandbox.inside_cgroup()),
        bpffs: Some(inner),
        ..enable::installation(sandbox)
    });
    assert!(removed.expect("remove the inner one"));
    let socket: Socket = socket4(portkeep_tests::Protocol::Tcp);
    assert_ok!(raw::acquire4(&socket, 62000, 1));
    assert_eq!(reservations::list(sandbox).len(), 1);
    assert_eq!(
        try_bind(portkeep_tests::Protocol::Tcp, 62000),
        libc::EADDRINUSE
    );
}
