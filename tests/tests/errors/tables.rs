//! The kernel part's tables, filled. Their sizes are those of `bpf/maps.h`.

use portkeep::ErrorKind;
use portkeep_tests::enable::enable;
use portkeep_tests::libc::ENOBUFS;
use portkeep_tests::socket2::Socket;
use portkeep_tests::{Protocol, Sandbox, assert_errno, assert_ok, ports, proc, raw, sock};

use crate::ledger::{USER, assert_charged, assert_empty, unchanged};
use crate::refusal::{NONE, Request};
use crate::sysctl;

const RESERVATIONS: u16 = 32768;
const USERS: u16 = 4096;

pub(crate) fn a_full_table_is_refused(sandbox: &Sandbox) {
    enable(sandbox);
    sysctl::set("ip_local_reserved_ports", "1-65535");
    let many = sock::udp4();
    // One record is left for the reservation that the refusals must leave alone.
    for port in 30000..30000 + RESERVATIONS - 1 {
        assert_ok!(raw::acquire4(&many, port, 1));
    }
    for protocol in [Protocol::Tcp, Protocol::Udp] {
        for (start, count) in [(10000, 1), (10000, 100), (0, 64)] {
            let request = Request::new(protocol, start, count);
            let conflict = request.refused(sandbox, ENOBUFS, ErrorKind::TablesFull);
            assert_eq!(conflict, NONE, "{request:?}");
        }
    }
    assert_ok!(raw::acquire4(&many, 30000 + RESERVATIONS - 1, 1));
    let checked = proc::as_uid(USER, USER, || {
        let socket = sock::tcp4();
        unchanged(sandbox, || {
            for _ in 0..100 {
                assert_errno!(raw::acquire4(&socket, 10000, 100), ENOBUFS);
            }
        });
        0
    });
    assert_eq!(checked, 0);
    assert_eq!(ports::probe_free(Protocol::Tcp, 10000..=10099), []);
    drop(many);
    assert_empty(sandbox, USER);
}

/// An acquire of one port by another user, on a socket of ours. The errno, 0 if it succeeded.
fn acquire_as(uid: u16, socket: &Socket, port: u16) -> i32 {
    proc::as_uid(uid.into(), uid.into(), || {
        raw::acquire4(socket, port, 1).err().unwrap_or(0)
    })
}

pub(crate) fn the_last_user_is_refused(sandbox: &Sandbox) {
    enable(sandbox);
    // The part of the port map is made by nobody who is charged for it.
    assert_ok!(raw::acquire4(sock::tcp4(), 10000, 1));
    // Users who have given everything back need no place.
    for uid in 2 * USERS..3 * USERS {
        assert_eq!(acquire_as(uid, &sock::tcp4(), 10000), 0);
    }
    let (shared, eighth) = (sock::tcp4(), sock::tcp4());
    for uid in 1..=USERS {
        let socket = if uid == 8 { &eighth } else { &shared };
        assert_eq!(acquire_as(uid, socket, 10000 + uid), 0, "user {uid}");
    }
    unchanged(sandbox, || {
        assert_eq!(acquire_as(USERS + 1, &shared, 20000), ENOBUFS);
    });
    assert_eq!(raw::conflict(&shared), Ok(NONE));
    // Users who have a place are served as before.
    assert_eq!(acquire_as(USERS, &shared, 20000), 0);
    drop(eighth);
    assert_eq!(acquire_as(USERS + 1, &shared, 20001), 0);
    drop(shared);
    for user in [1, 8, USERS, USERS + 1] {
        assert_charged(user.into(), 0);
    }
    assert_empty(sandbox, USER);
}
