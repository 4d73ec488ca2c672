//! When a socket can be associated.

use std::net::Ipv4Addr;

use portkeep::{ErrorKind, Token, sockopt};
use portkeep_tests::enable::enable;
use portkeep_tests::libc::EINVAL;
use portkeep_tests::{Protocol, Sandbox, assert_errno, assert_ok, raw, sock};

use crate::holder::socket;
use crate::tokens::{ASSOCIATE, assert_refused, assert_unknown};

pub(crate) fn a_bound_socket_is_not_associated(sandbox: &Sandbox) {
    enable(sandbox);
    for protocol in [Protocol::Tcp, Protocol::Udp] {
        let own = socket(protocol);
        let token = assert_ok!(raw::acquire(&own, 10100, 8)).token;
        for port in [0, 10200] {
            let bound = socket(protocol);
            assert_ok!(sock::bind_any(&bound, port));
            assert_refused(
                sandbox,
                ASSOCIATE,
                &bound,
                token,
                EINVAL,
                ErrorKind::AlreadyBound,
            );
        }
        let associated = socket(protocol);
        assert_ok!(raw::associate(&associated, token));
        assert_ok!(sock::bind_any(&associated, 10101));
        assert_refused(
            sandbox,
            ASSOCIATE,
            &associated,
            token,
            EINVAL,
            ErrorKind::AlreadyBound,
        );
        assert_eq!(raw::associated(&associated), Ok(token));
    }
    let connected = sock::udp4();
    assert_ok!(sock::connect(&connected, Ipv4Addr::LOCALHOST, 9));
    let own = sock::udp4();
    let token = assert_ok!(raw::acquire(&own, 10100, 8)).token;
    assert_refused(
        sandbox,
        ASSOCIATE,
        &connected,
        token,
        EINVAL,
        ErrorKind::AlreadyBound,
    );
}

pub(crate) fn associating_again_replaces(sandbox: &Sandbox) {
    enable(sandbox);
    for protocol in [Protocol::Tcp, Protocol::Udp] {
        let own = socket(protocol);
        let first = assert_ok!(raw::acquire(&own, 10100, 8)).token;
        let second = assert_ok!(raw::acquire(&own, 10200, 8)).token;
        let associated = socket(protocol);
        assert_eq!(raw::associated(&associated), Ok(0));
        for token in [first, second, second, first, second] {
            assert_ok!(raw::associate(&associated, token));
            assert_eq!(raw::associated(&associated), Ok(token));
            let told = assert_ok!(sockopt::associated(&associated));
            assert_eq!(told, Token::from_raw(token));
        }
        // A refusal does not.
        assert_unknown(sandbox, ASSOCIATE, &associated, 0);
        assert_unknown(sandbox, ASSOCIATE, &associated, first ^ 1 << 40);
        assert_errno!(sock::bind_any(&associated, 10100), EADDRNOTAVAIL);
        assert_ok!(sock::bind_any(&associated, 0));
        assert!((10200..10208).contains(&sock::local_port(&associated)));
    }
}
