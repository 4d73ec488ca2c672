//! Sockets that are bound rightfully to a reserved port connect and disconnect as ever, while others
//! try to acquire it.

use std::net::Shutdown;

use portkeep_tests::socket2::Socket;
use portkeep_tests::{
    Event, Protocol, Sandbox, assert_errno, assert_ok, enable, libc, proc, raw, sock,
};

use crate::hunt::{PORT, assert_granted_soon};
use crate::shared::Shared;
use crate::stage::{Family, disconnect};

const USER: u32 = 65534;

/// How often each socket connects while its port is acquired.
const CONNECTS: usize = 2000;

const BOTH: [Protocol; 2] = [Protocol::Tcp, Protocol::Udp];

/// Only those with an address in common with [`listener`].
const FAMILIES: [Family; 3] = [Family::V4, Family::DualStack, Family::Mapped];

fn of_any(protocol: Protocol) -> Socket {
    match protocol {
        Protocol::Tcp => sock::tcp4(),
        Protocol::Udp => sock::udp4(),
    }
}

/// What the sockets connect to, on a port of its own.
fn listener(protocol: Protocol) -> Socket {
    let socket = match protocol {
        Protocol::Tcp => sock::tcp6(),
        Protocol::Udp => sock::udp6(),
    };
    sock::v6only(&socket, false);
    assert_ok!(sock::bind_any(&socket, 0));
    if protocol == Protocol::Tcp {
        assert_ok!(sock::listen(&socket));
    }
    socket
}

/// Connects a bound socket over and over, always from its port.
fn keep_connecting(protocol: Protocol, family: Family, socket: &Socket) {
    let listener = listener(protocol);
    socket.set_nonblocking(false).expect("clear O_NONBLOCK");
    for _ in 0..CONNECTS {
        let connected = sock::connect(socket, family.target(), sock::local_port(&listener));
        assert_ok!(connected);
        assert_eq!(sock::local_port(socket), PORT);
        if protocol == Protocol::Tcp {
            drop(assert_ok!(sock::accept(&listener)));
        }
        disconnect(socket);
        assert_eq!(sock::local_port(socket), PORT);
    }
    if protocol == Protocol::Tcp {
        // And as a listener.
        assert_ok!(sock::listen(socket));
        let client = match family {
            Family::V4 => sock::tcp4(),
            _ => sock::tcp6(),
        };
        assert_ok!(sock::connect(&client, family.target(), PORT));
        drop(assert_ok!(sock::accept(socket)));
        socket.shutdown(Shutdown::Both).expect("shutdown");
    }
}

/// Runs `body` while another user acquires the port without end, and never gets it.
fn beside_an_acquirer(protocol: Protocol, body: impl FnOnce()) {
    let (over, begun) = (Shared::new(), Event::new());
    let acquirer = proc::fork_child(|| {
        proc::drop_privileges(USER - 1, USER - 1);
        let socket = of_any(protocol);
        assert_errno!(raw::acquire4(&socket, PORT, 1), EADDRINUSE);
        begun.set();
        while over.get() == 0 {
            let refused = raw::acquire4(&socket, PORT, 1).expect_err("the port is not granted");
            let kind = assert_ok!(raw::conflict(&socket)).kind;
            // A socket that connects whenever it is looked for leaves the answer open.
            let known = match refused {
                libc::EADDRINUSE => [raw::CONFLICT_RESERVED, raw::CONFLICT_IN_USE].contains(&kind),
                libc::ENOBUFS => kind == raw::CONFLICT_CANNOT_TELL,
                _ => false,
            };
            assert!(known, "errno {refused}, conflict {kind}");
        }
        0
    });
    begun.wait();
    body();
    over.set(1);
    assert_eq!(acquirer.code(), 0);
}

/// A stranger's socket that is bound before the administrator reserves.
fn adopted(sandbox: &Sandbox, consumers: &[(u32, u64)]) {
    enable::enable(sandbox);
    for protocol in BOTH {
        for family in FAMILIES {
            let (bound, reserved) = (Event::new(), Event::new());
            let stranger = proc::fork_child(|| {
                proc::drop_privileges(USER, USER);
                let socket = family.bound(protocol);
                bound.set();
                reserved.wait();
                keep_connecting(protocol, family, &socket);
                0
            });
            bound.wait();
            let keeper = of_any(protocol);
            assert_ok!(raw::create(&keeper, PORT, 1, raw::ADOPT, consumers));
            reserved.set();
            beside_an_acquirer(protocol, || assert_eq!(stranger.code(), 0));
            assert_ok!(raw::delete(&keeper, PORT, 1, 0));
            assert_granted_soon(protocol, &format!("{protocol:?} {family:?}"));
        }
    }
}

pub(crate) fn by_adoption(sandbox: &Sandbox) {
    adopted(sandbox, &[]);
}

pub(crate) fn by_an_exclusion(sandbox: &Sandbox) {
    // The root cgroup has everybody.
    adopted(sandbox, &[raw::cgroup(1)]);
}

pub(crate) fn by_a_consumer(sandbox: &Sandbox) {
    enable::enable(sandbox);
    for protocol in BOTH {
        for family in FAMILIES {
            let keeper = of_any(protocol);
            assert_ok!(raw::create(&keeper, PORT, 1, 0, &[raw::user(USER)]));
            beside_an_acquirer(protocol, || {
                let consumer = proc::as_uid(USER, USER, || {
                    keep_connecting(protocol, family, &family.bound(protocol));
                    0
                });
                assert_eq!(consumer, 0);
            });
            assert_ok!(raw::delete(&keeper, PORT, 1, 0));
            assert_granted_soon(protocol, &format!("{protocol:?} {family:?}"));
        }
    }
}

/// Its owner's socket, bound in the block, outlives the reservation; nobody gets the port meanwhile.
pub(crate) fn by_a_reservation_that_ended(sandbox: &Sandbox) {
    enable::enable(sandbox);
    for protocol in BOTH {
        for family in FAMILIES {
            let owner = of_any(protocol);
            let block = assert_ok!(raw::acquire(&owner, PORT, 1));
            let socket = family.socket(protocol);
            assert_ok!(raw::associate(&socket, block.token));
            assert_ok!(sock::bind(&socket, family.any(), PORT));
            assert_ok!(raw::release(&owner, block.token));
            beside_an_acquirer(protocol, || keep_connecting(protocol, family, &socket));
            drop(socket);
            assert_granted_soon(protocol, &format!("{protocol:?} {family:?}"));
        }
    }
}
