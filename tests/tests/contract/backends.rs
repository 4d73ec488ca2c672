//! One test body, every backend.

use std::ops::RangeInclusive;

use portkeep::{Acquire, Backend, Reservation};
use portkeep_tests::{Sandbox, enable, proc};

/// An ordinary user, and another one.
pub(crate) const USER: u32 = 65534;
pub(crate) const OTHER_USER: u32 = 65533;

/// Runs a body for each backend, as root and as an ordinary user; it leaves nothing reserved.
pub(crate) fn each(sandbox: &Sandbox, body: impl Fn(Backend)) {
    portkeep_tests::without_portkeep();
    for_everybody(Backend::Held, &body);
    enable::enable(sandbox);
    for_everybody(Backend::Kernel, &body);
}

fn for_everybody(backend: Backend, body: &impl Fn(Backend)) {
    let run = || {
        // Left to choose, the library takes what there is.
        assert_eq!(Backend::Auto.resolve().expect("resolve"), backend);
        body(backend);
        0
    };
    assert_eq!(proc::fork_child(run).code(), 0, "{backend} as root");
    assert_eq!(
        proc::as_uid(USER, USER, run),
        0,
        "{backend} as an ordinary user"
    );
}

/// A request, whose backend is the one that `Auto` comes to.
pub(crate) fn request() -> Acquire {
    Reservation::builder()
}

/// These ports of both protocols.
#[track_caller]
pub(crate) fn acquired(ports: RangeInclusive<u16>) -> Reservation {
    let request = request().tcp().udp().range(ports);
    request.acquire().expect("acquire")
}
