//! Reservations that hold in every network namespace.

use portkeep_tests::enable::enable;
use portkeep_tests::libc::EADDRINUSE;
use portkeep_tests::raw::{self, EVERY_NETNS};
use portkeep_tests::{Event, Sandbox, assert_errno, assert_ok, proc, sock};

use crate::scene::{COUNT, END, START, try_bind};

pub(crate) fn every_namespace(sandbox: &Sandbox) {
    enable(sandbox);
    let (made, reserved) = (Event::new(), Event::new());
    let existing = proc::fork_child(|| {
        proc::new_netns();
        made.set();
        reserved.wait();
        try_bind(START)
    });
    made.wait();
    let socket = sock::tcp4();
    assert_ok!(raw::create(&socket, START, COUNT, EVERY_NETNS, &[]));
    reserved.set();
    assert_eq!(existing.code(), EADDRINUSE);
    assert_eq!(proc::in_netns(|| try_bind(END)), EADDRINUSE);
    assert_eq!(try_bind(START), EADDRINUSE);
    assert_errno!(raw::create(&socket, START, 1, 0, &[]), EADDRINUSE);
    assert_errno!(raw::delete(&socket, START, COUNT, 0), ENOENT);
    assert_ok!(raw::delete(&socket, START, COUNT, EVERY_NETNS));
    assert_eq!(proc::in_netns(|| try_bind(END)), 0);
    assert_ok!(raw::create(&socket, START, COUNT, 0, &[]));
    let refused = raw::create(&socket, END, 2, EVERY_NETNS, &[]);
    assert_errno!(refused, EADDRINUSE);
}

pub(crate) fn an_older_reservation_wins(sandbox: &Sandbox) {
    enable(sandbox);
    let (made, reserved) = (Event::new(), Event::new());
    let older = proc::fork_child(|| {
        proc::new_netns();
        let socket = sock::tcp4();
        let own = assert_ok!(raw::acquire(&socket, START, 8));
        made.set();
        reserved.wait();
        let bound = sock::tcp4();
        assert_ok!(raw::associate(&bound, own.token));
        assert_ok!(sock::bind_any(&bound, START));
        assert_eq!(try_bind(START + 8), EADDRINUSE);
        0
    });
    made.wait();
    assert_ok!(raw::create(sock::tcp4(), START, COUNT, EVERY_NETNS, &[]));
    reserved.set();
    assert_eq!(older.code(), 0);
}
