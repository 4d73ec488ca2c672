//! Acquires of what is reserved already.

use std::time::Instant;

use portkeep::ErrorKind;
use portkeep_tests::enable::enable;
use portkeep_tests::libc::EADDRINUSE;
use portkeep_tests::{Protocol, Sandbox, assert_ok, ports, raw, sock};

use crate::holder::{Holder, socket};
use crate::ledger::{USER, assert_charged};
use crate::refusal::{Request, assert_recent, reserved};

/// Neither end is at a word of the bitmap.
const START: u16 = 10010;
const COUNT: u16 = 200;
const END: u16 = START + COUNT - 1;

/// Ranges that overlap the block, and the port that is in the way.
const OVERLAPS: [(u16, u16, u16); 12] = [
    (START, COUNT, START),
    (START, 1, START),
    (END, 1, END),
    (START + 1, COUNT - 2, START + 1),
    (START + 64, 64, START + 64),
    (START - 1, 2, START),
    (START - 64, 65, START),
    (START - 64, COUNT, START),
    (END, 2, END),
    (END, 300, END),
    (END - 64, COUNT, END - 64),
    (START - 500, 1000, START),
];

pub(crate) fn own_reservations_are_in_the_way(sandbox: &Sandbox) {
    enable(sandbox);
    for protocol in [Protocol::Tcp, Protocol::Udp] {
        let (socket, before) = (socket(protocol), Instant::now());
        assert_ok!(raw::acquire4(&socket, START, COUNT));
        for (start, count, port) in OVERLAPS {
            let request = Request::new(protocol, start, count);
            let conflict = request.refused(sandbox, EADDRINUSE, ErrorKind::Reserved);
            assert_eq!(conflict, reserved(sandbox, protocol, port), "{request:?}");
            assert_eq!(
                (conflict.owner_pid, conflict.owner_uid),
                (std::process::id(), 0)
            );
            assert_recent(conflict, before);
        }
    }
}

pub(crate) fn another_processs_reservations_are(sandbox: &Sandbox) {
    enable(sandbox);
    for (protocol, uid) in [
        (Protocol::Tcp, USER),
        (Protocol::Udp, 0),
        (Protocol::Udp, USER),
    ] {
        let before = Instant::now();
        let holder = Holder::start(uid, protocol, START, COUNT);
        for (start, count, port) in OVERLAPS {
            let request = Request::new(protocol, start, count);
            let conflict = request.refused(sandbox, EADDRINUSE, ErrorKind::Reserved);
            assert_eq!(conflict, reserved(sandbox, protocol, port), "{request:?}");
            assert_eq!(
                (conflict.owner_pid, conflict.owner_uid),
                (holder.child.pid(), uid)
            );
            assert_recent(conflict, before);
        }
        assert_charged(USER, if uid == USER { COUNT } else { 0 });
        drop(holder);
        assert_eq!(ports::map(sandbox), ports::PortMap::default());
        assert_ok!(raw::acquire4(socket(protocol), START, COUNT));
    }
}

pub(crate) fn the_lowest_of_several_is_named(sandbox: &Sandbox) {
    enable(sandbox);
    let own = sock::tcp4();
    assert_ok!(raw::acquire4(&own, 10100, 5));
    let other = Holder::start(USER, Protocol::Tcp, 10090, 10);
    assert_ok!(raw::acquire4(&own, 10300, 5));
    for (start, count, port) in [(10000, 1000, 10090), (10099, 2, 10099), (10101, 400, 10101)] {
        let request = Request::new(Protocol::Tcp, start, count);
        let conflict = request.refused(sandbox, EADDRINUSE, ErrorKind::Reserved);
        assert_eq!(conflict, reserved(sandbox, Protocol::Tcp, port));
        let owner = if port < 10100 {
            other.child.pid()
        } else {
            std::process::id()
        };
        assert_eq!(conflict.owner_pid, owner, "{request:?}");
    }
    let request = Request::new(Protocol::Tcp, 10105, 200);
    let conflict = request.refused(sandbox, EADDRINUSE, ErrorKind::Reserved);
    assert_eq!(conflict, reserved(sandbox, Protocol::Tcp, 10300));
}
