//! Reservations that hold in every network namespace.

use portkeep_tests::enable::enable;
use portkeep_tests::ports::probe_free;
use portkeep_tests::raw::{self, EVERY_NETNS, user};
use portkeep_tests::{Event, Protocol, Sandbox, assert_errno, assert_ok, proc, sock};

use crate::ledger::{USER, assert_empty};
use crate::user_namespace;

fn assert_enforced() {
    assert_errno!(sock::bind_any(sock::tcp4(), 10100), EADDRINUSE);
    assert_errno!(sock::bind_any(sock::tcp6(), 10107), EADDRINUSE);
    assert_errno!(raw::acquire4(sock::tcp4(), 10104, 8), EADDRINUSE);
    assert_ok!(sock::bind_any(sock::tcp4(), 10108));
    assert_ok!(sock::bind_any(sock::udp4(), 10100));
}

pub(crate) fn everywhere(sandbox: &Sandbox) {
    enable(sandbox);
    let (ready, made) = (Event::new(), Event::new());
    let older = proc::fork_child(|| {
        proc::new_netns();
        // An older reservation of the namespace's own goes before.
        let own = sock::udp4();
        let token = assert_ok!(raw::acquire(&own, 10200, 1)).token;
        ready.set();
        made.wait();
        assert_enforced();
        let associated = sock::udp4();
        assert_ok!(raw::associate(&associated, token));
        assert_ok!(sock::bind_any(&associated, 10200));
        drop((associated, own));
        assert_errno!(sock::bind_any(sock::udp4(), 10200), EADDRINUSE);
        0
    });
    ready.wait();
    let token = assert_ok!(raw::create(
        sock::tcp4(),
        10100,
        8,
        EVERY_NETNS,
        &[user(USER)]
    ))
    .token;
    assert_ok!(raw::create(sock::udp4(), 10200, 1, EVERY_NETNS, &[]));
    made.set();
    assert_eq!(older.code(), 0);
    assert_enforced();
    let newer = proc::in_netns(|| {
        assert_enforced();
        assert_eq!(
            raw::look_up(sock::tcp4(), 10100, 8).map(|found| found.token),
            Ok(token)
        );
        // The administrator of the machine associates anywhere.
        let associated = sock::tcp4();
        assert_ok!(raw::associate(&associated, token));
        assert_ok!(sock::bind_any(&associated, 0));
        drop(associated);
        proc::drop_privileges(USER, USER);
        assert_eq!(probe_free(Protocol::Tcp, 10100..=10107), []);
        0
    });
    assert_eq!(newer, 0);
    // Without the flag it is not there to be deleted.
    assert_errno!(raw::delete(sock::tcp4(), 10100, 8, 0), ENOENT);
    assert_ok!(raw::delete(sock::tcp4(), 10103, 2, EVERY_NETNS | raw::PART));
    assert_eq!(probe_free(Protocol::Tcp, 10103..=10104), []);
    assert_errno!(sock::bind_any(sock::tcp4(), 10102), EADDRINUSE);
    assert_ok!(raw::delete(sock::tcp4(), 10100, 3, EVERY_NETNS));
    assert_ok!(raw::delete(sock::tcp4(), 10105, 3, EVERY_NETNS));
    assert_ok!(raw::delete(sock::udp4(), 10200, 1, EVERY_NETNS));
    assert_eq!(probe_free(Protocol::Tcp, 10100..=10107), []);
    assert_empty(sandbox, USER);
}

pub(crate) fn overlaps(sandbox: &Sandbox) {
    enable(sandbox);
    let own = sock::tcp4();
    assert_ok!(raw::acquire4(&own, 10100, 8));
    assert_errno!(
        raw::create(sock::tcp4(), 10107, 2, EVERY_NETNS, &[]),
        EADDRINUSE
    );
    drop(own);
    assert_ok!(raw::create(sock::tcp4(), 10107, 2, EVERY_NETNS, &[]));
    assert_errno!(
        raw::create(sock::tcp4(), 10108, 1, EVERY_NETNS, &[]),
        EADDRINUSE
    );
    assert_errno!(raw::create(sock::tcp4(), 10100, 8, 0, &[]), EADDRINUSE);
    // Administrators of their own namespace alone neither make nor undo it, nor get in.
    let token = assert_ok!(raw::look_up(sock::tcp4(), 10107, 2)).token;
    let child = user_namespace::spawn(USER, "0 65534 1", || {
        proc::new_netns();
        assert_errno!(
            raw::create(sock::tcp4(), 10200, 1, EVERY_NETNS, &[]),
            EACCES
        );
        assert_errno!(raw::delete(sock::tcp4(), 10107, 2, EVERY_NETNS), EACCES);
        assert_errno!(raw::associate(sock::tcp4(), token), EACCES);
        assert_errno!(sock::bind_any(sock::tcp4(), 10107), EADDRINUSE);
        0
    });
    assert_eq!(child.code(), 0);
    assert_ok!(raw::delete(sock::tcp4(), 10107, 2, EVERY_NETNS));
    assert_empty(sandbox, USER);
}
