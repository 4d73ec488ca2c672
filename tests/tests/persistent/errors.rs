//! The rows of the table of errors, and the state after each.

use portkeep_tests::enable::enable;
use portkeep_tests::raw::{self, ADOPT, EVERY_NETNS, PART};
use portkeep_tests::{Sandbox, assert_errno, assert_ok, proc, sock};

use crate::ledger::unchanged;
use crate::scene::{COUNT, END, START, USER, assert_reserved, try_bind};

pub(crate) fn users_are_refused(sandbox: &Sandbox) {
    enable(sandbox);
    let made = assert_ok!(raw::create(sock::tcp4(), START, COUNT, 0, &[]));
    let checked = proc::as_uid(USER, USER, || {
        unchanged(sandbox, || {
            let socket = sock::tcp4();
            for flags in [0, EVERY_NETNS] {
                assert_errno!(raw::create(&socket, 20000, 8, flags, &[]), EACCES);
                assert_errno!(raw::delete(&socket, START, COUNT, flags), EACCES);
                assert_errno!(raw::delete(&socket, START, 1, flags | PART), EACCES);
            }
            assert_errno!(raw::release(&socket, made.token), EACCES);
            assert_errno!(raw::claim(&socket, made.token), EACCES);
            assert_errno!(raw::associate(&socket, made.token), EACCES);
            assert_eq!(raw::associated(&socket), Ok(0));
            assert_eq!(assert_ok!(raw::lookup(&socket, START, COUNT)), made);
        });
        0
    });
    assert_eq!(checked, 0);
    assert_reserved(sandbox, [START..=END]);
}

pub(crate) fn tokens_are_an_administrators(sandbox: &Sandbox) {
    enable(sandbox);
    let socket = sock::tcp4();
    let made = assert_ok!(raw::create(&socket, START, COUNT, 0, &[]));
    unchanged(sandbox, || {
        assert_errno!(raw::release(&socket, made.token), EINVAL);
        assert_errno!(raw::claim(&socket, made.token), EACCES);
        assert_errno!(raw::associate(sock::udp4(), made.token), EINVAL);
        let bound = sock::tcp4();
        assert_ok!(sock::bind_any(&bound, 20000));
        assert_errno!(raw::associate(&bound, made.token), EINVAL);
    });
    assert_ok!(raw::delete(&socket, START, COUNT, 0));
    assert_errno!(raw::associate(sock::tcp4(), made.token), EINVAL);
    assert_errno!(raw::release(&socket, made.token), EINVAL);
    assert_reserved(sandbox, []);
    assert_eq!(try_bind(START), 0);
}

pub(crate) fn overlaps_and_sockets_in_use(sandbox: &Sandbox) {
    enable(sandbox);
    let socket = sock::tcp4();
    let bound = sock::tcp4();
    assert_ok!(sock::bind_any(&bound, START));
    assert_errno!(raw::create(&socket, START, COUNT, 0, &[]), EADDRINUSE);
    let conflict = assert_ok!(raw::conflict(&socket));
    assert_eq!(
        (conflict.kind, conflict.port),
        (raw::CONFLICT_IN_USE, START)
    );
    assert_reserved(sandbox, []);
    let made = assert_ok!(raw::create(&socket, START, COUNT, ADOPT, &[]));
    assert_eq!(sock::local_port(&bound), START);
    for (start, count) in [(START, COUNT), (START - 1, 2), (END, 2), (START + 70, 1)] {
        let refused = sock::tcp4();
        let flags = ADOPT;
        assert_errno!(raw::create(&refused, start, count, flags, &[]), EADDRINUSE);
        assert_eq!(
            assert_ok!(raw::conflict(&refused)).kind,
            raw::CONFLICT_RESERVED
        );
        assert_errno!(raw::acquire4(&refused, start, count), EADDRINUSE);
    }
    assert_eq!(assert_ok!(raw::lookup(&socket, START, COUNT)), made);
    let wildcard = assert_ok!(raw::create(&socket, 0, 8, 0, &[]));
    assert!(wildcard.start >= portkeep_tests::enable::POOL_START && wildcard.count == 8);
    assert_reserved(sandbox, [START..=END, wildcard.start..=wildcard.start + 7]);
}

pub(crate) fn only_an_exact_match_is_found(sandbox: &Sandbox) {
    enable(sandbox);
    let socket = sock::tcp4();
    let made = assert_ok!(raw::create(&socket, START, COUNT, 0, &[]));
    assert_ok!(raw::acquire4(&socket, 20000, 8));
    unchanged(sandbox, || {
        let others = [
            (START, COUNT - 1),
            (START, COUNT + 1),
            (START + 1, COUNT - 1),
            (20000, 8),
        ];
        for (start, count) in others {
            assert_errno!(raw::lookup(&socket, start, count), ENOENT);
            assert_errno!(raw::delete(&socket, start, count, 0), ENOENT);
        }
        for (start, count) in [(START - 1, 2), (END, 2), (20000, 8), (20001, 1)] {
            assert_errno!(raw::delete(&socket, start, count, PART), ENOENT);
        }
        assert_errno!(raw::delete(&socket, START, COUNT, EVERY_NETNS), ENOENT);
        assert_errno!(raw::lookup(sock::udp4(), START, COUNT), ENOENT);
    });
    assert_eq!(assert_ok!(raw::lookup(&socket, START, COUNT)), made);
}
