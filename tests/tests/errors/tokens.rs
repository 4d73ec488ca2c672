//! Calls that name a token.

use portkeep::{ErrorKind, Token, sockopt};
use portkeep_tests::enable::enable;
use portkeep_tests::libc::{EACCES, EINVAL};
use portkeep_tests::socket2::Socket;
use portkeep_tests::{Channel, Protocol, Sandbox, assert_errno, assert_ok, expect_errno, ports};
use portkeep_tests::{proc, raw, sock};

use crate::holder::{Holder, socket};
use crate::ledger::{USER, assert_charged, unchanged};
use crate::refusal::NONE;

pub(crate) type Raw = fn(&Socket, u64) -> Result<(), i32>;
pub(crate) type Library = fn(&Socket, Token) -> Result<(), portkeep::Error>;

pub(crate) const RELEASE: (Raw, Library) =
    (|s, t| raw::release(s, t), |s, t| sockopt::release(s, t));
pub(crate) const ASSOCIATE: (Raw, Library) =
    (|s, t| raw::associate(s, t), |s, t| sockopt::associate(s, t));
const CLAIM: (Raw, Library) = (|s, t| raw::claim(s, t), |s, t| sockopt::claim(s, t));

/// Asserts that a call is refused both ways, and that nothing comes of it.
#[track_caller]
pub(crate) fn assert_refused(
    sandbox: &Sandbox,
    (raw, library): (Raw, Library),
    socket: &Socket,
    token: u64,
    errno: i32,
    kind: ErrorKind,
) {
    let associated = raw::associated(socket);
    let conflict = raw::conflict(socket);
    unchanged(sandbox, || {
        expect_errno(raw(socket, token), errno, &format!("token {token}"));
        if let Some(token) = Token::from_raw(token) {
            let error = library(socket, token).expect_err("refused through the library");
            assert_eq!(
                (error.kind(), error.errno()),
                (kind, Some(errno)),
                "{error}"
            );
        }
    });
    assert_eq!(raw::associated(socket), associated);
    assert_eq!(raw::conflict(socket), conflict);
}

#[track_caller]
pub(crate) fn assert_unknown(sandbox: &Sandbox, call: (Raw, Library), socket: &Socket, token: u64) {
    assert_refused(
        sandbox,
        call,
        socket,
        token,
        EINVAL,
        ErrorKind::UnknownToken,
    );
}

pub(crate) fn unknown_ones_are_refused(sandbox: &Sandbox) {
    enable(sandbox);
    let own = sock::tcp4();
    let token = assert_ok!(raw::acquire(&own, 10100, 8)).token;
    let near = [
        token + 1,
        token - 1,
        token ^ 1 << 16,
        token ^ 1 << 17,
        token ^ 1 << 63,
        !token,
    ];
    for unknown in [0, 1, 10100, u64::MAX].into_iter().chain(near) {
        for call in [RELEASE, ASSOCIATE, CLAIM] {
            for socket in [&own, &sock::udp6()] {
                assert_unknown(sandbox, call, socket, unknown);
                assert_eq!(raw::conflict(socket), Ok(NONE));
            }
        }
    }
    assert_ok!(raw::release(&own, token));
}

pub(crate) fn a_released_one_is_unknown(sandbox: &Sandbox) {
    enable(sandbox);
    for protocol in [Protocol::Tcp, Protocol::Udp] {
        let own = socket(protocol);
        let released = assert_ok!(raw::acquire(&own, 10100, 8)).token;
        assert_ok!(raw::release(&own, released));
        let closed = assert_ok!(raw::acquire(socket(protocol), 10100, 8)).token;
        for successor in [false, true] {
            if successor {
                assert_ok!(raw::acquire4(&own, 10100, 8));
            }
            for token in [released, closed] {
                for call in [RELEASE, ASSOCIATE, CLAIM] {
                    assert_unknown(sandbox, call, &own, token);
                }
            }
        }
    }
}

pub(crate) fn the_other_protocols_is_unknown(sandbox: &Sandbox) {
    enable(sandbox);
    let (tcp, udp) = (sock::tcp4(), sock::udp4());
    let of_tcp = assert_ok!(raw::acquire(&tcp, 10100, 8)).token;
    let of_udp = assert_ok!(raw::acquire(&udp, 10100, 8)).token;
    assert_unknown(sandbox, ASSOCIATE, &sock::udp4(), of_tcp);
    assert_unknown(sandbox, ASSOCIATE, &sock::udp6(), of_tcp);
    assert_unknown(sandbox, ASSOCIATE, &sock::tcp4(), of_udp);
    assert_unknown(sandbox, ASSOCIATE, &sock::tcp6(), of_udp);
}

pub(crate) fn another_namespaces_is_unknown(sandbox: &Sandbox) {
    enable(sandbox);
    let (own, others) = Channel::pair();
    // The same process on both sides, so that only the namespace differs.
    let checked = proc::fork_child(|| {
        let here = sock::tcp4();
        let token = assert_ok!(raw::acquire(&here, 10100, 8)).token;
        proc::new_netns();
        assert_eq!(
            ports::map(sandbox),
            ports::PortMap::default(),
            "nothing is reserved there"
        );
        let there = sock::tcp4();
        for call in [RELEASE, ASSOCIATE, CLAIM] {
            assert_unknown(sandbox, call, &there, token);
        }
        let same = assert_ok!(raw::acquire(&there, 10100, 8)).token;
        assert_ne!(same, token);
        assert_unknown(sandbox, RELEASE, &there, token);
        assert_unknown(sandbox, RELEASE, &here, same);
        // The namespace is the socket's, not the caller's.
        assert_ok!(raw::release(&here, token));
        others.send_fd(&there);
        0
    });
    let there = own.recv_fd();
    assert_eq!(checked.code(), 0);
    assert_ok!(raw::acquire4(sock::tcp4(), 10100, 8));
    drop(there);
}

pub(crate) fn another_processs_is_refused(sandbox: &Sandbox) {
    enable(sandbox);
    for (protocol, uid) in [(Protocol::Tcp, 0), (Protocol::Udp, USER)] {
        let holder = Holder::start(uid, protocol, 10100, 8);
        let (own, other) = (socket(protocol), sock::udp6());
        for call in [RELEASE, ASSOCIATE, CLAIM] {
            assert_refused(
                sandbox,
                call,
                &own,
                holder.token,
                EACCES,
                ErrorKind::NotOwner,
            );
        }
        for call in [RELEASE, CLAIM] {
            assert_refused(
                sandbox,
                call,
                &other,
                holder.token,
                EACCES,
                ErrorKind::NotOwner,
            );
        }
    }
    // A child has its parent's socket, and is another process.
    let own = sock::tcp4();
    let token = assert_ok!(raw::acquire(&own, 10100, 8)).token;
    let checked = proc::fork_child(|| {
        for call in [RELEASE, ASSOCIATE] {
            assert_refused(sandbox, call, &own, token, EACCES, ErrorKind::NotOwner);
        }
        0
    });
    assert_eq!(checked.code(), 0);
    assert_ok!(raw::release(&own, token));
    assert_charged(USER, 0);
}

pub(crate) fn any_socket_releases(sandbox: &Sandbox) {
    enable(sandbox);
    for protocol in [Protocol::Tcp, Protocol::Udp] {
        let bound = sock::tcp4();
        assert_ok!(sock::bind_any(&bound, 10200));
        for any in [
            sock::tcp4(),
            sock::tcp6(),
            sock::udp4(),
            sock::udp6(),
            bound,
        ] {
            let own = socket(protocol);
            let token = assert_ok!(raw::acquire(&own, 10100, 8)).token;
            assert_ok!(raw::release(&any, token));
            assert_eq!(ports::map(sandbox), ports::PortMap::default());
            assert_ok!(sock::bind_any(socket(protocol), 10100));
            let token = assert_ok!(raw::acquire(&own, 10100, 8)).token;
            let token = Token::from_raw(token).expect("never 0");
            assert_ok!(sockopt::release(&any, token));
            assert_errno!(raw::release(&any, token.as_raw()), EINVAL);
        }
    }
}
