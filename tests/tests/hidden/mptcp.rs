//! Multipath TCP: the socket that is bound, and that moves, is a subflow of the one that is called.

use portkeep_tests::socket2::{Domain, Socket};
use portkeep_tests::{Protocol, Sandbox, assert_ok, enable, skip, sock};

use crate::hunt::{Hunt, PORT};
use crate::stage::{Busy, Family, disconnect, leave_time_waits, pad};

const ACQUIRES: u32 = 10_000;

const FAMILIES: [(Domain, Family); 3] = [
    (Domain::IPV4, Family::V4),
    (Domain::IPV6, Family::DualStack),
    (Domain::IPV6, Family::Mapped),
];

fn bound(domain: Domain, family: Family) -> Socket {
    let socket = assert_ok!(sock::mptcp(domain));
    sock::reuseaddr(&socket, true);
    socket.set_nonblocking(true).expect("set O_NONBLOCK");
    assert_ok!(sock::bind(&socket, family.any(), PORT));
    socket
}

fn need_mptcp() {
    if sock::mptcp(Domain::IPV4).is_err() {
        skip("no MPTCP here");
    }
}

pub(crate) fn disconnects(sandbox: &Sandbox) {
    need_mptcp();
    enable::enable(sandbox);
    for (domain, family) in FAMILIES {
        Hunt::new(Protocol::Tcp, ACQUIRES).run(&format!("{family:?}"), || {
            leave_time_waits(&[(1, 1)]);
            let socket = bound(domain, family);
            move |_| disconnect(&socket)
        });
    }
}

pub(crate) fn connects(sandbox: &Sandbox) {
    need_mptcp();
    enable::enable(sandbox);
    for (domain, family) in FAMILIES {
        Hunt::new(Protocol::Tcp, ACQUIRES / 2).run(&format!("{family:?}"), || {
            pad(1000);
            let (busy, socket) = (Busy::new(), bound(domain, family));
            move |_| {
                let _ = sock::connect(&socket, family.target(), busy.port());
                disconnect(&socket);
            }
        });
    }
}
