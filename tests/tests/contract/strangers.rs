//! Who is not the owner.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;

use portkeep::Protocol;
use portkeep_tests::socket2::{Domain, Socket, Type};
use portkeep_tests::{Sandbox, libc, proc};

use crate::backends::{OTHER_USER, acquired, each};

const BOTH: [Protocol; 2] = [Protocol::Tcp, Protocol::Udp];

const ADDRESSES: [IpAddr; 4] = [
    IpAddr::V4(Ipv4Addr::UNSPECIFIED),
    IpAddr::V4(Ipv4Addr::LOCALHOST),
    IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    IpAddr::V6(Ipv6Addr::LOCALHOST),
];

/// An unbound socket that can bind to the address.
pub(crate) fn socket(protocol: Protocol, address: IpAddr) -> Socket {
    let kind = match protocol {
        Protocol::Tcp => Type::STREAM,
        Protocol::Udp => Type::DGRAM,
    };
    let domain = Domain::for_address((address, 0).into());
    Socket::new(domain, kind, None).expect("make a socket")
}

/// What every combination of flags and addresses comes to.
fn attempts(protocol: Protocol, port: u16) -> Vec<Option<i32>> {
    let mut results = Vec::new();
    for address in ADDRESSES {
        for flags in 0..4 {
            let socket = socket(protocol, address);
            socket.set_reuse_address(flags & 1 != 0).expect("set it");
            socket.set_reuse_port(flags & 2 != 0).expect("set it");
            let bound = socket.bind(&SocketAddr::from((address, port)).into());
            results.push(bound.err().and_then(|error| error.raw_os_error()));
        }
    }
    results
}

/// Asserts that nobody can bind to the ports, of this process, and of others of this user.
#[track_caller]
pub(crate) fn assert_kept(ports: RangeInclusive<u16>, protocols: &[Protocol]) {
    for port in ports {
        for protocol in protocols {
            let kept = attempts(*protocol, port)
                .iter()
                .all(|result| *result == Some(libc::EADDRINUSE));
            assert!(kept, "{port}/{protocol}");
        }
    }
}

/// Asserts that everybody can.
#[track_caller]
pub(crate) fn assert_free(ports: RangeInclusive<u16>) {
    for port in ports {
        for protocol in BOTH {
            assert!(
                attempts(protocol, port).iter().all(Option::is_none),
                "{port}/{protocol}"
            );
        }
    }
}

#[track_caller]
fn assert_kept_from_others(ports: RangeInclusive<u16>) {
    // Only root can become another user.
    // SAFETY: geteuid(2) takes nothing and cannot fail.
    if unsafe { libc::geteuid() } == 0 {
        let code = proc::as_uid(OTHER_USER, OTHER_USER, || {
            assert_kept(ports, &BOTH);
            0
        });
        assert_eq!(code, 0);
    }
}

pub(crate) fn are_kept_out_with_every_flag(sandbox: &Sandbox) {
    each(sandbox, |_| {
        let reservation = acquired(61100..=61102);
        assert_kept(61100..=61102, &BOTH);
        assert_kept_from_others(61100..=61102);
        drop(reservation);
        assert_free(61100..=61102);
    });
}

pub(crate) fn are_kept_out_while_an_owner_is_there(sandbox: &Sandbox) {
    each(sandbox, |_| {
        let reservation = acquired(61100..=61102);
        for address in ADDRESSES {
            let listener = reservation
                .tcp_listener(address, Some(61101))
                .expect("listen");
            let socket = reservation.udp_socket(address, Some(61101)).expect("bind");
            assert_kept(61100..=61102, &BOTH);
            assert_kept_from_others(61100..=61102);
            drop((listener, socket));
            assert_kept(61100..=61102, &BOTH);
        }
        // Bound, and not listened on yet.
        for address in ADDRESSES {
            let bound = socket(Protocol::Tcp, address);
            reservation.bind(&bound, (address, 61101)).expect("bind");
            assert_kept(61100..=61102, &BOTH);
            assert_kept_from_others(61100..=61102);
        }
    });
}
