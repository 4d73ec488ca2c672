//! Deleting a part of a persistent reservation.

use portkeep_tests::enable::enable;
use portkeep_tests::libc::EADDRINUSE;
use portkeep_tests::raw::{self, PART, UID};
use portkeep_tests::{Sandbox, assert_errno, assert_ok, sock};

use crate::ledger::assert_empty;
use crate::scene::{COUNT, END, START, STRANGER, USER, assert_reserved, try_bind_as};

pub(crate) fn every_part_goes_alone(sandbox: &Sandbox) {
    enable(sandbox);
    let socket = sock::tcp4();
    assert_ok!(raw::create(&socket, START, COUNT, 0, &[]));
    assert_ok!(raw::delete(&socket, START, 10, PART));
    assert_reserved(sandbox, [START + 10..=END]);
    assert_ok!(raw::delete(&socket, END - 9, 10, PART));
    assert_reserved(sandbox, [START + 10..=END - 10]);
    assert_ok!(raw::delete(&socket, START + 60, 30, PART));
    assert_reserved(sandbox, [START + 10..=START + 59, START + 90..=END - 10]);
    // A part of two reservations is no part of one.
    assert_errno!(raw::delete(&socket, START + 50, 60, PART), ENOENT);
    assert_ok!(raw::lookup(&socket, START + 10, 50));
    assert_ok!(raw::delete(&socket, START + 10, 50, PART));
    assert_ok!(raw::delete(&socket, START + 90, COUNT - 100, 0));
    assert_empty(sandbox, USER);
    assert_ok!(raw::create(&socket, START, COUNT, 0, &[]));
}

pub(crate) fn the_rest_keeps_its_consumers(sandbox: &Sandbox) {
    enable(sandbox);
    let socket = sock::tcp4();
    assert_ok!(raw::create(&socket, START, COUNT, 0, &[(UID, USER.into())]));
    assert_ok!(raw::delete(&socket, START + 60, 30, PART));
    for port in [START, START + 59, START + 90, END] {
        assert_eq!(try_bind_as(USER, USER, port), 0);
        assert_eq!(try_bind_as(STRANGER, STRANGER, port), EADDRINUSE);
    }
    for port in [START + 60, START + 89] {
        assert_eq!(try_bind_as(STRANGER, STRANGER, port), 0);
    }
}
