//! Connects of associated sockets that get no port.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use portkeep_tests::socket2::Socket;
use portkeep_tests::time_wait::{self, Side};
use portkeep_tests::{
    Protocol, Sandbox, assert_errno, assert_ok, enable, libc, ports, proc, raw, sock,
};

use crate::scene::{
    BLOCK, CLOSED, COUNT, Kind, Owner, SERVER, START, assert_inside, end_by_reset, server,
};

fn number(protocol: Protocol) -> u8 {
    match protocol {
        Protocol::Tcp => libc::IPPROTO_TCP as u8,
        Protocol::Udp => libc::IPPROTO_UDP as u8,
    }
}

/// Leaves a record of an earlier refusal with a socket.
fn refuse_an_acquire(socket: &Socket) -> raw::Conflict {
    assert_errno!(raw::acquire4(socket, START, 1), EADDRINUSE);
    let conflict = assert_ok!(raw::conflict(socket));
    assert_eq!(conflict.kind, raw::CONFLICT_RESERVED);
    conflict
}

pub(crate) fn where_the_block_is_full(sandbox: &Sandbox) {
    enable::enable(sandbox);
    for kind in Kind::all() {
        let _server = server(kind.protocol);
        let owner = Owner::acquire(kind.protocol, BLOCK, 0);
        let late = owner.associated(kind);
        refuse_an_acquire(&late);
        let mut bound: Vec<_> = (0..COUNT)
            .map(|_| {
                let socket = owner.associated(kind);
                end_by_reset(&socket);
                assert_ok!(kind.connect(&socket, SERVER));
                socket
            })
            .collect();
        for _ in 0..3 {
            assert_errno!(kind.connect(&late, SERVER), EADDRINUSE);
            let conflict = assert_ok!(raw::conflict(&late));
            assert_eq!(
                (conflict.kind, conflict.port, conflict.protocol),
                (raw::CONFLICT_IN_USE, 0, number(kind.protocol)),
                "{kind:?}"
            );
            assert_eq!(sock::local_port(&late), 0);
            assert_eq!(raw::associated(&late), Ok(owner.block.token));
        }
        // The same socket gets what becomes free.
        let freed = sock::local_port(bound.remove(1));
        assert_ok!(kind.connect(&late, SERVER));
        assert_eq!(sock::local_port(&late), freed, "{kind:?}");
        end_by_reset(&late);
    }
}

/// Also if somebody else has the ports by now: they are the other's.
pub(crate) fn where_the_reservation_has_ended(sandbox: &Sandbox) {
    enable::enable(sandbox);
    for kind in Kind::all() {
        for successor in [None, Some(()), None] {
            let _server = server(kind.protocol);
            let owner = Owner::acquire(kind.protocol, BLOCK, 0);
            let (socket, stale) = (owner.associated(kind), owner.associated(kind));
            let earlier = refuse_an_acquire(&stale);
            owner.release();
            let successor = successor.map(|()| Owner::acquire(kind.protocol, BLOCK, 0));
            for socket in [&socket, &stale] {
                assert_errno!(kind.connect(socket, SERVER), EADDRNOTAVAIL);
                assert_eq!(sock::local_port(socket), 0);
                let conflict = assert_ok!(raw::conflict(socket));
                // Of who has the ports now, or else of nobody.
                let (kind, pid) = match successor {
                    Some(_) => (raw::CONFLICT_RESERVED, std::process::id()),
                    None => (raw::CONFLICT_ENDED, 0),
                };
                assert_eq!((conflict.kind, conflict.owner_pid), (kind, pid));
                assert_ne!(conflict, earlier, "the record of an earlier refusal");
            }
            assert_eq!(raw::conflict(&socket), raw::conflict(&stale));
            let Some(successor) = successor else { continue };
            successor.associate(&socket);
            assert_ok!(kind.connect(&socket, SERVER));
            assert_inside(&socket);
            end_by_reset(&socket);
        }
    }
}

/// TIME_WAIT holds a port for whoever does not reuse addresses, unlike where the kernel chooses.
pub(crate) fn where_all_is_in_time_wait(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let _server = server(Protocol::Tcp);
    for port in BLOCK {
        time_wait::leave(Side::Client, Ipv4Addr::LOCALHOST, port);
    }
    let owner = Owner::acquire(Protocol::Tcp, BLOCK, 0);
    let kind = Kind::to(Protocol::Tcp, Ipv4Addr::LOCALHOST.into());
    let socket = owner.associated(kind);
    assert_errno!(kind.connect(&socket, SERVER), EADDRINUSE);
    assert_eq!(
        assert_ok!(raw::conflict(&socket)).kind,
        raw::CONFLICT_IN_USE
    );
    sock::reuseaddr(&socket, true);
    assert_ok!(kind.connect(&socket, SERVER));
    assert_inside(&socket);
    end_by_reset(&socket);
}

/// A connect that fails leaves the socket bound in the block, and the next one goes from there.
pub(crate) fn at_the_other_end(sandbox: &Sandbox) {
    enable::enable(sandbox);
    for kind in Kind::all() {
        let owner = Owner::acquire(kind.protocol, BLOCK, 0);
        let socket = owner.associated(kind);
        match kind.protocol {
            Protocol::Tcp => assert_errno!(kind.connect(&socket, CLOSED), ECONNREFUSED),
            // Nothing is sent.
            Protocol::Udp => assert_ok!(kind.connect(&socket, CLOSED)),
        }
        let port = assert_inside(&socket);
        let _server = server(kind.protocol);
        assert_ok!(kind.connect(&socket, SERVER));
        assert_eq!(sock::local_port(&socket), port, "{kind:?}");
        end_by_reset(&socket);
        drop((socket, owner));

        // Only lo is there, and no route.
        let owner = Owner::acquire(kind.protocol, BLOCK, 0);
        let socket = owner.associated(kind);
        let nowhere = if kind.target.is_ipv4() {
            "192.0.2.1"
        } else {
            "2001:db8::1"
        };
        let nowhere: IpAddr = nowhere.parse().expect("an address");
        assert_errno!(sock::connect(&socket, nowhere, SERVER), ENETUNREACH);
        let port = assert_inside(&socket);
        assert_ok!(kind.connect(&socket, SERVER));
        assert_eq!(sock::local_port(&socket), port, "{kind:?}");
        end_by_reset(&socket);
    }
}

/// An address that connect() refuses by itself. TCP takes no port for it; UDP binds all the same.
pub(crate) fn for_their_address(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let (v4, v6) = (Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into());
    for (protocol, own, other, errno) in [
        (Protocol::Tcp, v4, v6, libc::EAFNOSUPPORT),
        (Protocol::Tcp, v6, v4, libc::EINVAL),
        (Protocol::Udp, v4, v6, libc::EAFNOSUPPORT),
    ] {
        let owner = Owner::acquire(protocol, BLOCK, 0);
        let socket = owner.associated(Kind::to(protocol, own));
        let refused = Kind::to(protocol, other).connect(&socket, SERVER);
        assert_eq!(refused, Err(errno), "{protocol:?} {own}");
        match protocol {
            Protocol::Tcp => assert_eq!(sock::local_port(&socket), 0, "{own}"),
            Protocol::Udp => _ = assert_inside(&socket),
        }
    }
}

/// Ports below `ip_unprivileged_port_start` take the capability of whoever connects.
pub(crate) fn below_the_unprivileged_ports(sandbox: &Sandbox) {
    enable::enable(sandbox);
    for kind in Kind::all() {
        let _server = server(kind.protocol);
        let owner = Owner::acquire(kind.protocol, 700..=703, 0);
        let (ours, users) = (owner.associated(kind), owner.associated(kind));
        assert_ok!(kind.connect(&ours, SERVER));
        assert!((700..=703).contains(&sock::local_port(&ours)));
        end_by_reset(&ours);
        let refused = proc::as_uid(65534, 65534, || {
            assert_errno!(kind.connect(&users, SERVER), EACCES);
            assert_eq!(sock::local_port(&users), 0);
            let conflict = assert_ok!(raw::conflict(&users));
            assert_eq!(conflict.kind, raw::CONFLICT_NOT_PERMITTED);
            0
        });
        assert_eq!(refused, 0);
        assert_eq!(
            ports::map(sandbox).ranges(kind.protocol),
            [700..=703],
            "{kind:?}"
        );
    }
}
