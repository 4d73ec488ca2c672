//! What a refused call must leave as it was: the reservations and the charges.

#![allow(dead_code, reason = "each target needs another one")]

use portkeep_tests::reservations::{self, Reservation};
use portkeep_tests::{Sandbox, assert_errno, assert_ok, ports, proc, raw, sock};

/// The ports that a user without `CAP_NET_ADMIN` may hold.
pub(crate) const QUOTA: u16 = 4096;

/// An ordinary user.
pub(crate) const USER: u32 = 65534;

/// A block as long as the quota that ends just below the automatic range, for [`assert_charged`];
/// the trials reserve nothing else there.
const WHOLE_QUOTA: u16 = 32768 - QUOTA;

/// A port that the trials reserve nowhere else.
const ONE_MORE: u16 = WHOLE_QUOTA - 1;

/// Asserts that the user is charged for exactly `held` ports, by acquiring all the others.
#[track_caller]
pub(crate) fn assert_charged(user: u32, held: u16) {
    let child = proc::fork_child(|| {
        proc::drop_privileges(user, user);
        let (socket, left) = (sock::tcp4(), QUOTA - held);
        if left != 0 {
            assert_ok!(raw::acquire4(&socket, WHOLE_QUOTA, left));
        }
        assert_errno!(raw::acquire4(&socket, ONE_MORE, 1), EDQUOT);
        0
    });
    assert_eq!(child.code(), 0);
}

/// Asserts that nothing is reserved in any network namespace, and that the user is charged for
/// nothing.
#[track_caller]
pub(crate) fn assert_empty(sandbox: &Sandbox, user: u32) {
    assert_eq!(sorted(sandbox), []);
    assert_charged(user, 0);
    assert_eq!(sorted(sandbox), []);
}

/// Makes calls after which every reservation must be what it was before.
#[track_caller]
pub(crate) fn unchanged<T>(sandbox: &Sandbox, calls: impl FnOnce() -> T) -> T {
    let (listed, mapped) = (sorted(sandbox), ports::map(sandbox));
    let value = calls();
    assert_eq!(sorted(sandbox), listed, "the reservations after the calls");
    assert_eq!(ports::map(sandbox), mapped, "the port map after the calls");
    value
}

/// The reservations of all network namespaces in the order of their tokens.
pub(crate) fn sorted(sandbox: &Sandbox) -> Vec<Reservation> {
    let mut list = reservations::list(sandbox);
    list.sort_by_key(|reservation| reservation.token);
    list
}
