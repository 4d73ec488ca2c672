//! The kernel part's tables, filled. Their sizes are those of `bpf/maps.h`.

use nix::unistd::{Uid, setresuid};
use portkeep::ErrorKind;
use portkeep_tests::enable::enable;
use portkeep_tests::libc::ENOBUFS;
use portkeep_tests::{Protocol, Sandbox, assert_errno, assert_ok, ports, proc, raw, sock};

use crate::capabilities;
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

pub(crate) fn the_last_user_is_refused(sandbox: &Sandbox) {
    enable(sandbox);
    let child = proc::fork_child(|| {
        capabilities::keep_only(capabilities::SETUID);
        let shared = sock::tcp4();
        let acquire_as = |uid: u16, port| {
            become_user(uid);
            raw::acquire(&shared, port, 1)
        };
        // Users who have given everything back need no place.
        for uid in 1..=2 * USERS {
            let block = assert_ok!(acquire_as(uid, 10000));
            assert_ok!(raw::release(&shared, block.token));
        }
        let blocks: Vec<_> = (1..=USERS)
            .map(|uid| assert_ok!(acquire_as(uid, 10000 + uid)))
            .collect();
        unchanged(sandbox, || {
            assert_errno!(acquire_as(USERS + 1, 20000), ENOBUFS)
        });
        assert_eq!(raw::conflict(&shared), Ok(NONE));
        // Users who have a place are served as before.
        assert_ok!(acquire_as(USERS, 20000));
        assert_errno!(raw::acquire4(&shared, 20001, USERS - 1), EDQUOT);
        assert_ok!(raw::release(&shared, blocks[7].token));
        assert_ok!(acquire_as(USERS + 1, 20001));
        0
    });
    assert_eq!(child.code(), 0);
    for user in [1, 8, USERS, USERS + 1] {
        assert_charged(user.into(), 0);
    }
    assert_empty(sandbox, USER);
}

/// The real user is charged; the effective one stays root, to become the next.
fn become_user(uid: u16) {
    let root = Uid::from_raw(0);
    setresuid(Uid::from_raw(uid.into()), root, root).expect("setresuid");
}
