//! `connect(AF_UNSPEC)` alone: no hook sees it, and it moves a socket that never was connected.

use std::net::Ipv4Addr;

use portkeep_tests::{Protocol, Sandbox, assert_ok, enable, sock};

use crate::hunt::{Cpu, Hunt, PORT};
use crate::stage::{Family, disconnect, leave_time_waits};

const ACQUIRES: u32 = 25_000;

pub(crate) fn over_one_time_wait(sandbox: &Sandbox) {
    enable::enable(sandbox);
    for family in Family::ALL {
        Hunt::new(Protocol::Tcp, ACQUIRES).run(&format!("{family:?}"), || {
            leave_time_waits(&[(1, 1)]);
            let socket = family.bound(Protocol::Tcp);
            move |_| disconnect(&socket)
        });
    }
}

pub(crate) fn on_every_processor(sandbox: &Sandbox) {
    enable::enable(sandbox);
    for cpus in [(Cpu::First, Cpu::Second), (Cpu::First, Cpu::First)] {
        let hunt = Hunt::new(Protocol::Tcp, ACQUIRES).pinned(cpus.0, cpus.1);
        hunt.run("pinned", || {
            leave_time_waits(&[(1, 1)]);
            let socket = Family::V4.bound(Protocol::Tcp);
            move |_| disconnect(&socket)
        });
    }
}

/// A socket that has an address of its own stays on the list of that.
pub(crate) fn of_a_socket_with_an_address(sandbox: &Sandbox) {
    enable::enable(sandbox);
    Hunt::new(Protocol::Tcp, ACQUIRES).run("127.0.0.1", || {
        leave_time_waits(&[(1, 10), (2, 10)]);
        let socket = Family::V4.socket(Protocol::Tcp);
        assert_ok!(sock::bind(&socket, Ipv4Addr::LOCALHOST, PORT));
        move |_| disconnect(&socket)
    });
}

/// The processes take turns with the socket's lock, and hold it while they are preempted.
pub(crate) fn by_several_processes(sandbox: &Sandbox) {
    enable::enable(sandbox);
    for family in [Family::V4, Family::DualStack] {
        let hunt = Hunt::new(Protocol::Tcp, ACQUIRES).movers(3);
        hunt.run("one socket, three processes", || {
            leave_time_waits(&[(1, 1)]);
            let socket = family.bound(Protocol::Tcp);
            move |_| disconnect(&socket)
        });
        hunt.run("three sockets", || {
            leave_time_waits(&[(1, 1)]);
            let sockets = [(); 3].map(|()| family.bound(Protocol::Tcp));
            move |mover: usize| disconnect(&sockets[mover])
        });
    }
}
