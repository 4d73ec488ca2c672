//! Binds of associated sockets that are refused.

use std::net::{Ipv4Addr, Ipv6Addr};

use portkeep::{ErrorKind, Reservation};
use portkeep_tests::enable::enable;
use portkeep_tests::{Protocol, Sandbox, assert_errno, assert_ok, libc, proc, raw, sock};

use crate::holder::{Holder, socket};
use crate::refusal::of;

const START: u16 = 10100;
const END: u16 = START + 99;

pub(crate) fn a_full_block_has_no_port(sandbox: &Sandbox) {
    enable(sandbox);
    for protocol in [Protocol::Tcp, Protocol::Udp] {
        let own = socket(protocol);
        let token = assert_ok!(raw::acquire(&own, START, 3)).token;
        let bound = [(); 3].map(|()| {
            let bound = socket(protocol);
            assert_ok!(raw::associate(&bound, token));
            assert_ok!(sock::bind_any(&bound, 0));
            assert!((START..START + 3).contains(&sock::local_port(&bound)));
            bound
        });
        let late = socket(protocol);
        assert_ok!(raw::associate(&late, token));
        assert_errno!(sock::bind_any(&late, 0), EADDRINUSE);
        assert_eq!(
            raw::conflict(&late),
            Ok(of(raw::CONFLICT_IN_USE, protocol, 0))
        );
        assert_errno!(sock::bind_any(&late, START), EADDRINUSE);
        assert_eq!(
            (sock::local_port(&late), raw::associated(&late)),
            (0, Ok(token))
        );
        let [first, _second, _third] = bound;
        let port = sock::local_port(&first);
        drop(first);
        assert_ok!(sock::bind_any(&late, 0));
        assert_eq!(sock::local_port(&late), port);
    }

    let block = Reservation::builder()
        .udp()
        .tcp()
        .range(START + 10..=START + 10)
        .acquire();
    let block = assert_ok!(block);
    let _tcp = assert_ok!(block.tcp_listener(Ipv6Addr::UNSPECIFIED, None));
    let _udp = assert_ok!(block.udp_socket(Ipv4Addr::UNSPECIFIED, Some(START + 10)));
    for (port, kind) in [
        (None, ErrorKind::NoFreePort),
        (Some(START + 10), ErrorKind::InUse),
    ] {
        for error in [
            block
                .tcp_listener(Ipv4Addr::LOCALHOST, port)
                .map(drop)
                .expect_err("in use"),
            block
                .udp_socket(Ipv6Addr::UNSPECIFIED, port)
                .map(drop)
                .expect_err("in use"),
        ] {
            assert_eq!(
                (error.kind(), error.errno()),
                (kind, Some(libc::EADDRINUSE)),
                "{error}"
            );
            assert_eq!(error.conflict(), None);
        }
    }
}

pub(crate) fn an_associated_socket_stays_inside(sandbox: &Sandbox) {
    enable(sandbox);
    let other = Holder::start(0, Protocol::Tcp, START + 100, 1);
    for protocol in [Protocol::Tcp, Protocol::Udp] {
        let own = socket(protocol);
        let token = assert_ok!(raw::acquire(&own, START, 100)).token;
        let associated = socket(protocol);
        assert_ok!(raw::associate(&associated, token));
        for port in [1, 80, START - 1, END + 1, 40000, u16::MAX] {
            assert_errno!(sock::bind_any(&associated, port), EADDRNOTAVAIL);
            assert_eq!(
                (sock::local_port(&associated), raw::associated(&associated)),
                (0, Ok(token))
            );
        }
        assert_ok!(sock::bind_any(&associated, END));
    }
    drop(other);
    let block = assert_ok!(Reservation::builder().range(START..=END).acquire());
    let error = block
        .tcp_listener(Ipv4Addr::LOCALHOST, Some(END + 1))
        .map(drop)
        .expect_err("outside the block");
    assert_eq!(
        (error.kind(), error.errno()),
        (ErrorKind::OutsideBlock, Some(libc::EADDRNOTAVAIL)),
        "{error}"
    );
}

/// What a socket is associated with may end before it binds.
pub(crate) fn an_associated_socket_outlives_the_block(sandbox: &Sandbox) {
    enable(sandbox);
    for protocol in [Protocol::Tcp, Protocol::Udp] {
        let own = socket(protocol);
        let token = assert_ok!(raw::acquire(&own, START, 100)).token;
        let associated = socket(protocol);
        assert_ok!(raw::associate(&associated, token));
        assert_ok!(raw::release(&own, token));
        assert_errno!(sock::bind_any(&associated, 0), EADDRNOTAVAIL);
        assert_errno!(sock::bind_any(&associated, START), EADDRNOTAVAIL);
        let successor = assert_ok!(raw::acquire(&own, START, 100));
        assert_ne!(successor.token, token);
        assert_errno!(sock::bind_any(&associated, START), EADDRNOTAVAIL);
        let others = proc::fork_child(|| {
            assert_errno!(sock::bind_any(&associated, START), EADDRNOTAVAIL);
            assert_errno!(sock::bind_any(socket(protocol), START), EADDRINUSE);
            0
        });
        assert_eq!(others.code(), 0);
        assert_ok!(raw::associate(&associated, successor.token));
        assert_ok!(sock::bind_any(&associated, START));
    }
}
