//! Sockets without ports, and descriptors that are not sockets.

use std::fs::File;
use std::os::fd::AsFd;

use portkeep::{Consumers, Error, ErrorKind, Token, sockopt};
use portkeep_tests::enable::enable;
use portkeep_tests::libc::{ENOTSOCK, EOPNOTSUPP};
use portkeep_tests::raw::{ACQUIRE, ASSOCIATE, CLAIM, CONFLICT, RELEASE, SOL_PORTKEEP, VERSION};
use portkeep_tests::socket2::{Domain, Protocol, Socket, Type};
use portkeep_tests::{Sandbox, assert_ok, expect_errno, raw, sock};

use crate::ledger::unchanged;
use crate::sysctl;

#[track_caller]
fn assert_refused(file: &impl AsFd, token: u64, errno: i32, kind: ErrorKind, what: &str) {
    let acquire = [0x2774_u16.to_be_bytes(), 8_u16.to_ne_bytes()].concat();
    for (option, value) in [
        (ACQUIRE, acquire.as_slice()),
        (RELEASE, &token.to_ne_bytes()),
        (ASSOCIATE, &token.to_ne_bytes()),
        (CLAIM, &token.to_ne_bytes()),
    ] {
        expect_errno(
            raw::set_bytes(file, SOL_PORTKEEP, option, value),
            errno,
            what,
        );
    }
    for option in [ACQUIRE, ASSOCIATE, VERSION, CONFLICT] {
        expect_errno(raw::get_bytes(file, SOL_PORTKEEP, option, 64), errno, what);
    }
    let token = Token::from_raw(token).expect("never 0");
    for error in [
        sockopt::acquire(file, 10100, 8, Consumers::ASSOCIATED, 0).map(drop),
        sockopt::release(file, token),
        sockopt::associate(file, token),
        sockopt::claim(file, token),
        sockopt::associated(file).map(drop),
        sockopt::version(file).map(drop),
    ]
    .map(|result: Result<(), Error>| result.expect_err(what))
    {
        assert_eq!(
            (error.kind(), error.errno()),
            (kind, Some(errno)),
            "{what}: {error}"
        );
    }
    assert_eq!(sockopt::conflict(file), None);
}

pub(crate) fn other_protocols_are_refused(sandbox: &Sandbox) {
    enable(sandbox);
    let own = sock::tcp4();
    let token = assert_ok!(raw::acquire(&own, 10000, 8)).token;
    sysctl::set("ping_group_range", "0 0");
    let (datagram, stream, raw) = (Type::DGRAM, Type::STREAM, Type::RAW);
    let (netlink, udplite) = (
        Domain::from(libc::AF_NETLINK),
        Protocol::from(libc::IPPROTO_UDPLITE),
    );
    let mut tried = 0;
    for (domain, kind, protocol, may_be_missing) in [
        (Domain::UNIX, stream, None, false),
        (Domain::UNIX, datagram, None, false),
        (netlink, raw, None, false),
        (Domain::PACKET, raw, None, false),
        (Domain::IPV4, raw, Some(Protocol::TCP), false),
        (Domain::IPV4, raw, Some(Protocol::UDP), false),
        (Domain::IPV6, raw, Some(Protocol::TCP), false),
        (Domain::IPV4, datagram, Some(Protocol::ICMPV4), false),
        (Domain::IPV6, datagram, Some(Protocol::ICMPV6), false),
        (Domain::IPV4, stream, Some(Protocol::MPTCP), true),
        (Domain::IPV6, stream, Some(Protocol::MPTCP), true),
        (Domain::IPV4, datagram, Some(udplite), true),
        (Domain::IPV6, datagram, Some(udplite), true),
        (Domain::VSOCK, stream, None, true),
    ] {
        let what = format!("{domain:?} {kind:?} {protocol:?}");
        let socket = match Socket::new(domain, kind, protocol) {
            Ok(socket) => socket,
            Err(_) if may_be_missing => continue,
            Err(error) => panic!("{what}: {error}"),
        };
        unchanged(sandbox, || {
            assert_refused(
                &socket,
                token,
                EOPNOTSUPP,
                ErrorKind::NotSupportedSocket,
                &what,
            );
        });
        tried += 1;
    }
    assert!(tried >= 9);
}

pub(crate) fn what_is_no_socket_is_refused(sandbox: &Sandbox) {
    enable(sandbox);
    let own = sock::tcp4();
    let token = assert_ok!(raw::acquire(&own, 10000, 8)).token;
    let file = File::open("/dev/null").expect("open /dev/null");
    let (pipe, _writer) = std::io::pipe().expect("make a pipe");
    let pipe = std::os::fd::OwnedFd::from(pipe);
    unchanged(sandbox, || {
        assert_refused(&file, token, ENOTSOCK, ErrorKind::NotASocket, "a file");
        assert_refused(&pipe, token, ENOTSOCK, ErrorKind::NotASocket, "a pipe");
    });
}
