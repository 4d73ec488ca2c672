//! Cutting and making again while others bind and acquire.

use portkeep_tests::enable::enable;
use portkeep_tests::libc::EADDRINUSE;
use portkeep_tests::raw::{self, PART};
use portkeep_tests::{Sandbox, assert_ok, proc, sock};

use crate::scene::{COUNT, START, USER, assert_reserved, try_bind};

const ROUNDS: u16 = 2000;
/// The middle, which comes and goes; the head and the tail stay.
const MIDDLE: u16 = START + 70;

pub(crate) fn what_stays_reserved_is_never_free(sandbox: &Sandbox) {
    enable(sandbox);
    let socket = sock::tcp4();
    assert_ok!(raw::create(&socket, START, COUNT, 0, &[]));
    let strangers = [0, 1].map(|_| {
        proc::fork_child(|| {
            proc::drop_privileges(USER, USER);
            for round in 0..ROUNDS {
                for port in [START + round % 70, START + 80 + round % 120] {
                    assert_eq!(try_bind(port), EADDRINUSE, "port {port}");
                }
                // Around it, and where it is free now and then.
                for start in [START - 1, MIDDLE] {
                    let holder = sock::tcp4();
                    let _ = raw::acquire4(&holder, start, 1);
                }
            }
            0
        })
    });
    for _ in 0..ROUNDS {
        if raw::delete(&socket, MIDDLE, 10, PART).is_ok() {
            while raw::create(&socket, MIDDLE, 10, 0, &[]).is_err() {}
        }
    }
    for stranger in strangers {
        assert_eq!(stranger.code(), 0);
    }
    assert_reserved(sandbox, [START..=START + COUNT - 1]);
    for (start, count) in [(START, 70), (MIDDLE, 10), (MIDDLE + 10, COUNT - 80)] {
        assert_ok!(raw::delete(&socket, start, count, PART));
    }
    assert_reserved(sandbox, []);
    assert_ok!(raw::acquire4(&socket, START - 1, COUNT + 2));
}
