//! Acquires of ports that sockets are bound to.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use portkeep::ErrorKind;
use portkeep_tests::enable::{POOL_START, enable};
use portkeep_tests::libc::EADDRINUSE;
use portkeep_tests::socket2::Socket;
use portkeep_tests::{Channel, Protocol, Sandbox, assert_ok, proc, raw, sock};

use crate::holder::socket;
use crate::ledger::USER;
use crate::refusal::{Request, of};
use crate::sysctl;

/// Asserts that a socket of user `uid` at `port` refuses every block that has the port.
#[track_caller]
pub(crate) fn assert_in_the_way(sandbox: &Sandbox, protocol: Protocol, port: u16, uid: u32) {
    for (start, count) in [(port, 1), (port, 100), (port - 99, 100), (port - 70, 140)] {
        let request = Request::new(protocol, start, count);
        let conflict = request.refused(sandbox, EADDRINUSE, ErrorKind::InUse);
        let record = of(raw::CONFLICT_IN_USE, protocol, port);
        assert_eq!(
            conflict,
            raw::Conflict {
                owner_uid: uid,
                ..record
            },
            "{request:?}"
        );
    }
}

/// Asserts that a port can be acquired again.
#[track_caller]
pub(crate) fn assert_free(protocol: Protocol, port: u16) {
    assert_ok!(raw::acquire4(socket(protocol), port, 1));
}

pub(crate) fn a_bound_socket_is_in_the_way(sandbox: &Sandbox) {
    enable(sandbox);
    let (v4, v6) = (
        IpAddr::from(Ipv4Addr::LOCALHOST),
        IpAddr::from(Ipv6Addr::LOCALHOST),
    );
    let (any4, any6) = (Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into());
    for (address, v6only) in [
        (any4, None),
        (v4, None),
        (any6, Some(false)),
        (any6, Some(true)),
        (v6, Some(true)),
        (Ipv4Addr::LOCALHOST.to_ipv6_mapped().into(), Some(false)),
    ] {
        for protocol in [Protocol::Tcp, Protocol::Udp] {
            let bound = new(protocol, address);
            if let Some(v6only) = v6only {
                sock::v6only(&bound, v6only);
            }
            assert_ok!(sock::bind(&bound, address, 10100));
            assert_in_the_way(sandbox, protocol, 10100, 0);
            let other = if protocol == Protocol::Tcp {
                Protocol::Udp
            } else {
                Protocol::Tcp
            };
            assert_free(other, 10100);
            drop(bound);
            assert_free(protocol, 10100);
        }
    }
}

fn new(protocol: Protocol, address: IpAddr) -> Socket {
    match (protocol, address) {
        (_, IpAddr::V4(_)) => socket(protocol),
        (Protocol::Tcp, IpAddr::V6(_)) => sock::tcp6(),
        (Protocol::Udp, IpAddr::V6(_)) => sock::udp6(),
    }
}

pub(crate) fn the_first_port_in_use_is_named(sandbox: &Sandbox) {
    enable(sandbox);
    for protocol in [Protocol::Tcp, Protocol::Udp] {
        let bound = [10190, 10131, 10130].map(|port| {
            let bound = socket(protocol);
            assert_ok!(sock::bind_any(&bound, port));
            bound
        });
        let request = Request::new(protocol, 10000, 1000);
        let conflict = request.refused(sandbox, EADDRINUSE, ErrorKind::InUse);
        assert_eq!(conflict, of(raw::CONFLICT_IN_USE, protocol, 10130));
        let shared = socket(protocol);
        assert_ok!(raw::acquire4(&shared, 10132, 58));
        // Sockets are looked for first: a reservation is named when no socket is in the way.
        let conflict = request.refused(sandbox, EADDRINUSE, ErrorKind::InUse);
        assert_eq!(conflict.port, 10130);
        drop(bound);
        let conflict = request.refused(sandbox, EADDRINUSE, ErrorKind::Reserved);
        assert_eq!(conflict.port, 10132);
    }
}

pub(crate) fn a_connected_udp_socket_is_in_the_way(sandbox: &Sandbox) {
    enable(sandbox);
    for address in [
        IpAddr::from(Ipv4Addr::LOCALHOST),
        Ipv6Addr::LOCALHOST.into(),
    ] {
        let client = new(Protocol::Udp, address);
        assert_ok!(sock::bind(&client, address, 10100));
        assert_ok!(sock::connect(&client, address, 9));
        assert_in_the_way(sandbox, Protocol::Udp, 10100, 0);

        sysctl::set("ip_local_port_range", "30000 30007");
        let automatic = new(Protocol::Udp, address);
        assert_ok!(sock::connect(&automatic, address, 9));
        sysctl::set("ip_local_port_range", "32768 60999");
        assert_in_the_way(sandbox, Protocol::Udp, sock::local_port(&automatic), 0);
    }
}

pub(crate) fn another_users_socket_is_named(sandbox: &Sandbox) {
    enable(sandbox);
    let (own, others) = Channel::pair();
    for protocol in [Protocol::Tcp, Protocol::Udp] {
        let child = proc::fork_child(|| {
            proc::drop_privileges(USER, USER);
            let bound = socket(protocol);
            assert_ok!(sock::bind_any(&bound, 10100));
            others.send_fd(&bound);
            0
        });
        let bound = own.recv_fd();
        assert_eq!(child.code(), 0);
        assert_in_the_way(sandbox, protocol, 10100, USER);
        drop(bound);
        assert_free(protocol, 10100);
    }
}

pub(crate) fn a_wildcard_goes_around(sandbox: &Sandbox) {
    enable(sandbox);
    for protocol in [Protocol::Tcp, Protocol::Udp] {
        let bound: Vec<_> = (POOL_START..=u16::MAX)
            .step_by(100)
            .map(|port| {
                let bound = socket(protocol);
                assert_ok!(sock::bind_any(&bound, port));
                bound
            })
            .collect();
        // 45 gaps between them, and a last one that is too short.
        let socket = socket(protocol);
        for _ in 0..45 {
            let block = assert_ok!(raw::acquire(&socket, 0, 99));
            assert_eq!(block.start % 100, 1, "{block:?} has a port in use");
        }
        let request = Request::new(protocol, 0, 99);
        let conflict = request.refused(sandbox, EADDRINUSE, ErrorKind::NoFreeBlock);
        assert_eq!(conflict, of(raw::CONFLICT_RESERVED, protocol, 0));
        drop(bound);
    }
}
