//! Binds of those who have no part in a reservation, of every kind.

use std::thread;

use portkeep_tests::ports::{self, PortMap};
use portkeep_tests::proc::{Exit, fork_child};
use portkeep_tests::socket2::Socket;
use portkeep_tests::{Event, Protocol, Sandbox, assert_errno, assert_ok, enable, proc, raw, sock};

use crate::kinds::assert_all;
use crate::scene::{Acquired, BLOCK, BOTH, END, START, acquire, socket4};

const NOBODY: u32 = 65534;
const SOMEBODY: u32 = 1000;

/// The first port of the block, one that the owner is bound to and would share, and the last.
const SHARED: u16 = START + 3;
const PORTS: [u16; 3] = [START, SHARED, END];

/// Asserts that `stranger` runs its argument where every bind to the block of `owner` is refused,
/// and none after the reservation has ended.
fn assert_refused(sandbox: &Sandbox, stranger: impl Fn(&(dyn Fn() + Sync))) {
    for protocol in BOTH {
        let owner = acquire(protocol, 0);
        let shared = share(&owner);
        let before = ports::map(sandbox);
        stranger(&|| {
            for port in PORTS {
                assert_all(protocol, port, libc::EADDRINUSE);
            }
            for port in [START - 1, END + 1] {
                assert_all(protocol, port, 0);
            }
        });
        assert_eq!(ports::map(sandbox), before);
        assert_eq!(before, PortMap::new([(protocol, BLOCK)]));
        assert_eq!(sock::local_port(&shared), SHARED);
        drop((owner, shared));
        stranger(&|| {
            for port in PORTS {
                assert_all(protocol, port, 0);
            }
        });
    }
}

/// A bound socket that the kernel's own rules let others of the same user share the port with.
fn share(owner: &Acquired) -> Socket {
    let shared = owner.associated();
    sock::reuseaddr(&shared, true);
    sock::reuseport(&shared, true);
    assert_ok!(sock::bind_any(&shared, SHARED));
    shared
}

fn in_child(body: &(dyn Fn() + Sync)) -> i32 {
    body();
    0
}

pub(crate) fn another_user(sandbox: &Sandbox) {
    enable::enable(sandbox);
    assert_refused(sandbox, |body| {
        assert_eq!(proc::as_uid(NOBODY, NOBODY, || in_child(body)), 0);
    });
}

pub(crate) fn root_in_another_process(sandbox: &Sandbox) {
    enable::enable(sandbox);
    assert_refused(sandbox, |body| {
        assert_eq!(fork_child(|| in_child(body)).wait(), Exit::Code(0));
    });
}

pub(crate) fn a_thread_of_another_process(sandbox: &Sandbox) {
    enable::enable(sandbox);
    assert_refused(sandbox, |body| {
        let child =
            fork_child(|| thread::scope(|scope| i32::from(scope.spawn(body).join().is_err())));
        assert_eq!(child.wait(), Exit::Code(0));
    });
}

pub(crate) fn another_process_of_the_same_user(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let code = proc::as_uid(SOMEBODY, SOMEBODY, || {
        assert_refused(sandbox, |body| {
            assert_eq!(fork_child(|| in_child(body)).wait(), Exit::Code(0));
        });
        0
    });
    assert_eq!(code, 0);
}

pub(crate) fn the_owner_itself(sandbox: &Sandbox) {
    enable::enable(sandbox);
    assert_refused(sandbox, |body| body());
}

pub(crate) fn are_told_who_is_in_the_way(sandbox: &Sandbox) {
    enable::enable(sandbox);
    for protocol in BOTH {
        let (acquired, end) = (Event::new(), Event::new());
        let owner = fork_child(|| {
            proc::drop_privileges(SOMEBODY, SOMEBODY);
            let _acquired = acquire(protocol, 0);
            acquired.set();
            end.wait();
            0
        });
        acquired.wait();
        let stranger = socket4(protocol);
        assert_eq!(assert_ok!(raw::conflict(&stranger)).kind, 0);
        assert_errno!(sock::bind_any(&stranger, START + 5), EADDRINUSE);
        let conflict = assert_ok!(raw::conflict(&stranger));
        assert_eq!(conflict.kind, raw::CONFLICT_RESERVED);
        assert_eq!(conflict.port, START + 5);
        assert_eq!(i32::from(conflict.protocol), number(protocol));
        assert_eq!(conflict.owner_pid, owner.pid());
        assert_eq!(conflict.owner_uid, SOMEBODY);
        let since = portkeep_tests::reservations::list(sandbox)[0].since;
        assert_eq!(conflict.since, since);
        end.set();
        assert_eq!(owner.wait(), Exit::Code(0));
    }
}

fn number(protocol: Protocol) -> i32 {
    match protocol {
        Protocol::Tcp => libc::IPPROTO_TCP,
        Protocol::Udp => libc::IPPROTO_UDP,
    }
}

pub(crate) fn may_go_elsewhere_with_the_same_socket(sandbox: &Sandbox) {
    enable::enable(sandbox);
    for protocol in BOTH {
        let owner = acquire(protocol, 0);
        let stranger = socket4(protocol);
        assert_errno!(sock::bind_any(&stranger, START), EADDRINUSE);
        assert_ok!(sock::bind_any(&stranger, END + 1));
        let other = socket4(protocol);
        assert_errno!(sock::bind_any(&other, START), EADDRINUSE);
        drop(owner);
        assert_ok!(sock::bind_any(&other, START));
    }
}
