//! How a reservation ends.

use std::net::Ipv4Addr;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use nix::sys::signal::Signal;
use portkeep::{Protocol, Reservation};
use portkeep_tests::{Event, Sandbox, proc};

use crate::backends::{acquired, each};
use crate::strangers::{assert_free, assert_kept};

const BOTH: [Protocol; 2] = [Protocol::Tcp, Protocol::Udp];

fn acquire() -> Reservation {
    acquired(61100..=61103)
}

pub(crate) fn drop_frees_the_ports(sandbox: &Sandbox) {
    each(sandbox, |_| {
        for _ in 0..20 {
            drop(acquire());
        }
        assert_free(61100..=61103);
        acquire().release().expect("release");
        assert_free(61100..=61103);
    });
}

pub(crate) fn so_does_a_kill(sandbox: &Sandbox) {
    each(sandbox, |_| {
        let acquired = Event::new();
        let child = proc::fork_child(|| {
            let _reservation = acquire();
            acquired.set();
            Event::new().wait();
            0
        });
        acquired.wait();
        assert_kept(61100..=61103, &BOTH);
        child.kill(Signal::SIGKILL);
        child.wait();
        assert_free(61100..=61103);
    });
}

pub(crate) fn a_copy_of_the_sockets_keeps_them(sandbox: &Sandbox) {
    each(sandbox, |_| {
        let reservation = acquire();
        let copy = |socket: BorrowedFd<'_>| socket.try_clone_to_owned().expect("copy");
        let copies: Vec<OwnedFd> = reservation.sockets().map(copy).collect();
        drop(reservation);
        assert_kept(61100..=61103, &BOTH);
        drop(copies);
        assert_free(61100..=61103);
        let sockets = acquire().into_sockets();
        assert!(
            sockets
                .iter()
                .all(|it| it.as_fd().try_clone_to_owned().is_ok())
        );
        assert_kept(61100..=61103, &BOTH);
        drop(sockets);
        assert_free(61100..=61103);
    });
}

pub(crate) fn bound_sockets_outlive_it(sandbox: &Sandbox) {
    each(sandbox, |_| {
        let reservation = acquire();
        let listener = reservation
            .tcp_listener(Ipv4Addr::LOCALHOST, None)
            .expect("listen");
        let address = listener.local_addr().expect("bound");
        drop(reservation);
        std::net::TcpStream::connect(address).expect("connect");
        assert_free(61102..=61103);
    });
}
