//! `connect()` and `connect(AF_UNSPEC)`: from the list of no address to that of an address, and back.

use std::net::Ipv4Addr;

use portkeep_tests::socket2::Socket;
use portkeep_tests::{Protocol, Sandbox, assert_ok, enable, libc, raw, sock};

use crate::hunt::{Cpu, Hunt, PORT};
use crate::stage::{Busy, Family, disconnect, leave_time_waits, pad};

const ACQUIRES: u32 = 12_000;

/// A port at which nobody listens.
const CLOSED: u16 = 7;

fn there_and_back(socket: &Socket, family: Family, port: u16) {
    let _ = sock::connect(socket, family.target(), port);
    disconnect(socket);
}

pub(crate) fn to_a_busy_listener(sandbox: &Sandbox) {
    enable::enable(sandbox);
    for family in Family::ALL {
        Hunt::new(Protocol::Tcp, ACQUIRES).run(&format!("{family:?}"), || {
            pad(2000);
            let (busy, socket) = (Busy::new(), family.bound(Protocol::Tcp));
            move |_| there_and_back(&socket, family, busy.port())
        });
    }
}

/// The connect is refused at once, and the kernel moves the socket back by itself.
pub(crate) fn to_a_closed_port(sandbox: &Sandbox) {
    enable::enable(sandbox);
    for family in [Family::V4, Family::DualStack] {
        Hunt::new(Protocol::Tcp, ACQUIRES).run(&format!("{family:?}"), || {
            pad(1000);
            let socket = family.bound(Protocol::Tcp);
            move |_| {
                let _ = sock::connect(&socket, family.target(), CLOSED);
            }
        });
        Hunt::new(Protocol::Tcp, ACQUIRES).run(&format!("{family:?} and back"), || {
            pad(1000);
            let socket = family.bound(Protocol::Tcp);
            move |_| there_and_back(&socket, family, CLOSED)
        });
    }
}

/// From IPv4 to IPv6 and back, over lists of either family.
pub(crate) fn over_both_families(sandbox: &Sandbox) {
    enable::enable(sandbox);
    Hunt::new(Protocol::Tcp, ACQUIRES).run("both families", || {
        pad(1000);
        let (busy, socket) = (Busy::new(), Family::DualStack.bound(Protocol::Tcp));
        move |_| {
            there_and_back(&socket, Family::DualStack, busy.port());
            there_and_back(&socket, Family::Mapped, busy.port());
        }
    });
}

/// Over many addresses, with TIME_WAITs at each.
pub(crate) fn to_address_after_address(sandbox: &Sandbox) {
    enable::enable(sandbox);
    Hunt::new(Protocol::Tcp, ACQUIRES).run("many addresses", || {
        leave_time_waits(&[(1, 100), (2, 100), (3, 100), (4, 100), (5, 100)]);
        let (busy, socket) = (Busy::new(), Family::V4.bound(Protocol::Tcp));
        let mut last = 0;
        move |_| {
            last = last % 5 + 1;
            let _ = sock::connect(&socket, Ipv4Addr::new(127, 0, 0, last), busy.port());
            disconnect(&socket);
        }
    });
}

/// Several sockets, each with its own moves, on processors of their own and together.
pub(crate) fn by_several_movers(sandbox: &Sandbox) {
    enable::enable(sandbox);
    for cpus in [(Cpu::Any, Cpu::Any), (Cpu::First, Cpu::Second)] {
        let hunt = Hunt::new(Protocol::Tcp, ACQUIRES)
            .movers(2)
            .pinned(cpus.0, cpus.1);
        hunt.run("two sockets", || {
            pad(1000);
            let busy = Busy::new();
            let sockets = [(); 2].map(|()| Family::V4.bound(Protocol::Tcp));
            move |mover: usize| there_and_back(&sockets[mover], Family::V4, busy.port())
        });
    }
}

/// `IP_BIND_ADDRESS_NO_PORT` beside a port changes nothing.
pub(crate) fn of_a_late_binding_socket(sandbox: &Sandbox) {
    enable::enable(sandbox);
    Hunt::new(Protocol::Tcp, ACQUIRES).run("late binding", || {
        pad(1000);
        let (busy, socket) = (Busy::new(), Family::V4.socket(Protocol::Tcp));
        let on = 1_i32.to_ne_bytes();
        let option = libc::IP_BIND_ADDRESS_NO_PORT;
        assert_ok!(raw::set_bytes(&socket, libc::IPPROTO_IP, option, &on));
        assert_ok!(sock::bind(&socket, Family::V4.any(), PORT));
        move |_| there_and_back(&socket, Family::V4, busy.port())
    });
}

/// The members of a group of `SO_REUSEPORT` move, come and go; one at least is always there.
pub(crate) fn of_a_group(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let member = || {
        let socket = Family::V4.socket(Protocol::Tcp);
        sock::reuseport(&socket, true);
        socket
    };
    Hunt::new(Protocol::Tcp, ACQUIRES).run("a group", || {
        pad(1000);
        let busy = Busy::new();
        let mut group = [(); 3].map(|()| {
            let socket = member();
            assert_ok!(sock::bind(&socket, Family::V4.any(), PORT));
            socket
        });
        let mut turn = 0;
        move |_| {
            turn = (turn + 1) % group.len();
            there_and_back(&group[turn], Family::V4, busy.port());
            // Refused while the port is marked.
            let new = member();
            if sock::bind(&new, Family::V4.any(), PORT).is_ok() {
                group[turn] = new;
            }
        }
    });
}
