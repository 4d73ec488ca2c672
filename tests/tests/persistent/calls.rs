//! Create, look up, delete, and what other calls make of such a token.

use portkeep_tests::enable::{POOL_START, enable};
use portkeep_tests::libc::EADDRINUSE;
use portkeep_tests::ports::{PortMap, map, probe_free};
use portkeep_tests::raw::{self, ADOPT, CONFLICT_RESERVED, user};
use portkeep_tests::{Protocol, Sandbox, assert_errno, assert_ok, proc, sock};

use crate::ledger::{USER, assert_empty, unchanged};

pub(crate) fn a_life(sandbox: &Sandbox) {
    enable(sandbox);
    let created = assert_ok!(raw::create(sock::tcp6(), 10100, 200, 0, &[user(USER)]));
    assert_eq!((created.start, created.count), (10100, 200));
    assert_ne!(created.token, 0);
    // It lasts beyond the socket, and covers both families.
    assert_eq!(map(sandbox), PortMap::new([(Protocol::Tcp, 10100..=10299)]));
    assert_eq!(probe_free(Protocol::Tcp, 10100..=10299).len(), 200);
    assert_eq!(probe_free(Protocol::Udp, 10100..=10299), []);
    let other = sock::tcp4();
    assert_eq!(raw::look_up(&other, 10100, 200), Ok(created));
    for (start, count) in [(10100, 199), (10101, 199), (10100, 201), (10099, 201)] {
        assert_errno!(raw::look_up(&other, start, count), ENOENT);
        assert_errno!(raw::delete(&other, start, count, 0), ENOENT);
    }
    assert_errno!(raw::look_up(sock::udp4(), 10100, 200), ENOENT);
    assert_errno!(raw::delete(sock::udp4(), 10100, 200, 0), ENOENT);
    assert_eq!(map(sandbox), PortMap::new([(Protocol::Tcp, 10100..=10299)]));
    assert_ok!(raw::delete(&other, 10100, 200, 0));
    assert_errno!(raw::delete(&other, 10100, 200, 0), ENOENT);
    assert_errno!(raw::look_up(&other, 10100, 200), ENOENT);
    assert_eq!(probe_free(Protocol::Tcp, 10100..=10299), []);
    assert_empty(sandbox, USER);
}

pub(crate) fn refusals(sandbox: &Sandbox) {
    enable(sandbox);
    let socket = sock::udp4();
    let runtime = sock::udp4();
    assert_ok!(raw::acquire4(&runtime, 10300, 8));
    assert_ok!(raw::create(&socket, 10100, 8, 0, &[]));
    unchanged(sandbox, || {
        for (start, count) in [(10100, 8), (10107, 1), (10093, 8), (10307, 2)] {
            assert_errno!(raw::create(&socket, start, count, 0, &[]), EADDRINUSE);
            let conflict = assert_ok!(raw::conflict(&socket));
            assert_eq!(conflict.kind, CONFLICT_RESERVED);
        }
        assert_errno!(raw::acquire4(sock::udp4(), 10101, 1), EADDRINUSE);
        // A runtime reservation is neither deleted nor found.
        assert_errno!(raw::delete(&socket, 10300, 8, 0), ENOENT);
        assert_errno!(raw::delete(&socket, 10300, 1, raw::PART), ENOENT);
        assert_errno!(raw::look_up(&socket, 10300, 8), ENOENT);
        for consumer in [
            (0, 1),
            (4, 1),
            (1, u64::from(u32::MAX)),
            (2, 1 << 32),
            (3, 0),
        ] {
            let wrong = [user(USER), consumer];
            assert_errno!(raw::create(&socket, 10200, 8, 0, &wrong), EINVAL);
        }
        assert_errno!(raw::create(&socket, 10200, 8, 0, &[user(USER); 9]), EINVAL);
        assert_errno!(raw::create(&socket, 40000, 8, 0, &[]), EADDRNOTAVAIL);
        let refused = proc::as_uid(USER, USER, || {
            assert_errno!(raw::create(sock::udp4(), 10200, 8, 0, &[]), EACCES);
            assert_errno!(raw::delete(sock::udp4(), 10100, 8, 0), EACCES);
            assert_errno!(raw::delete(sock::udp4(), 10100, 1, raw::PART), EACCES);
            // Anybody may look up.
            assert_ok!(raw::look_up(sock::udp4(), 10100, 8));
            0
        });
        assert_eq!(refused, 0);
    });
    assert_ok!(raw::create(&socket, 10200, 8, 0, &[user(USER); 8]));
}

/// An administrator's sockets associate; nobody releases or claims.
pub(crate) fn tokens(sandbox: &Sandbox) {
    enable(sandbox);
    let socket = sock::tcp4();
    let token = assert_ok!(raw::create(&socket, 10100, 2, 0, &[])).token;
    assert_errno!(raw::release(&socket, token), EINVAL);
    assert_errno!(raw::claim(&socket, token), EACCES);
    let refused = proc::as_uid(USER, USER, || {
        let own = sock::tcp4();
        assert_errno!(raw::associate(&own, token), EACCES);
        assert_errno!(raw::release(&own, token), EACCES);
        assert_errno!(raw::claim(&own, token), EACCES);
        assert_errno!(sock::bind_any(&own, 10100), EADDRINUSE);
        0
    });
    assert_eq!(refused, 0);
    let (first, second, third) = (sock::tcp4(), sock::tcp6(), sock::tcp4());
    for socket in [&first, &second, &third] {
        assert_ok!(raw::associate(socket, token));
    }
    assert_ok!(sock::bind_any(&first, 0));
    assert_ok!(sock::bind_any(&second, 0));
    assert_errno!(sock::bind_any(&third, 0), EADDRINUSE);
    assert_errno!(sock::bind_any(&third, 10102), EADDRNOTAVAIL);
    let ports = [&first, &second].map(sock::local_port);
    assert!(
        ports == [10100, 10101] || ports == [10101, 10100],
        "{ports:?}"
    );
    assert_errno!(raw::associate(sock::udp4(), token), EINVAL);
    assert_eq!(map(sandbox), PortMap::new([(Protocol::Tcp, 10100..=10101)]));
}

pub(crate) fn sockets_in_the_way(sandbox: &Sandbox) {
    enable(sandbox);
    let bound = sock::tcp4();
    assert_ok!(sock::bind_any(&bound, 10105));
    let socket = sock::tcp4();
    unchanged(sandbox, || {
        assert_errno!(raw::create(&socket, 10100, 8, 0, &[]), EADDRINUSE);
        let conflict = assert_ok!(raw::conflict(&socket));
        assert_eq!(
            (conflict.port, conflict.kind),
            (10105, raw::CONFLICT_IN_USE)
        );
    });
    assert_ok!(raw::create(&socket, 10100, 8, ADOPT, &[]));
    drop(bound);
    let refused: Vec<_> = (10100..=10107).map(|port| (port, EADDRINUSE)).collect();
    assert_eq!(probe_free(Protocol::Tcp, 10100..=10107), refused);
    // Adopting is for sockets alone.
    assert_errno!(raw::create(&socket, 10107, 1, ADOPT, &[]), EADDRINUSE);
}

pub(crate) fn a_wildcard(sandbox: &Sandbox) {
    enable(sandbox);
    let first = assert_ok!(raw::create(sock::udp4(), 0, 64, 0, &[]));
    let second = assert_ok!(raw::create(sock::udp4(), 0, 64, 0, &[]));
    assert!(first.start >= POOL_START && second.start >= first.start + 64);
    assert_eq!(raw::look_up(sock::udp4(), first.start, 64), Ok(first));
    // What one thread created is not another one's to read.
    let socket = sock::udp4();
    assert_ok!(raw::create(&socket, 10100, 8, 0, &[]));
    let read = std::thread::scope(|scope| {
        let read = scope.spawn(|| raw::get_bytes(&socket, raw::SOL_PORTKEEP, raw::CREATE, 16));
        read.join().expect("the thread")
    });
    assert_eq!(read, Ok(vec![0; 16]));
}
