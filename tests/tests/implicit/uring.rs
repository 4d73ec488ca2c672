//! `IORING_OP_CONNECT`, with which a thread of the kernel may make the call.

use std::os::fd::AsRawFd;

use io_uring::{IoUring, opcode, squeue, types};
use portkeep_tests::socket2::{SockAddr, Socket};
use portkeep_tests::{Sandbox, assert_ok, enable, libc, raw, skip, sock};

use crate::scene::{BLOCK, COUNT, Kind, Owner, SERVER, assert_inside, end_by_reset, server};

/// 0 or the errno of a connect through the ring.
fn connect(ring: &mut IoUring, socket: &Socket, kind: Kind, flags: squeue::Flags) -> i32 {
    let address = SockAddr::from(std::net::SocketAddr::new(kind.target, SERVER));
    let fd = types::Fd(socket.as_raw_fd());
    let entry = opcode::Connect::new(fd, address.as_ptr().cast(), address.len())
        .build()
        .flags(flags);
    // SAFETY: the address and the socket live until the completion has come.
    unsafe { ring.submission().push(&entry) }.expect("room for one entry");
    ring.submit_and_wait(1).expect("submit");
    -ring.completion().next().expect("a completion").result()
}

pub(crate) fn connects(sandbox: &Sandbox) {
    enable::enable(sandbox);
    // ENOSYS, or EPERM by the sysctl kernel.io_uring_disabled.
    let Ok(mut ring) = IoUring::new(2) else {
        skip("no io_uring for us");
    };
    for flags in [squeue::Flags::empty(), squeue::Flags::ASYNC] {
        for kind in Kind::all() {
            let _server = server(kind.protocol);
            let owner = Owner::acquire(kind.protocol, BLOCK, 0);
            let mut sockets = Vec::new();
            for _ in 0..COUNT {
                let socket = owner.associated(kind);
                end_by_reset(&socket);
                assert_eq!(connect(&mut ring, &socket, kind, flags), 0);
                assert_inside(&socket);
                sockets.push(socket);
            }
            let late = owner.associated(kind);
            assert_eq!(
                connect(&mut ring, &late, kind, flags),
                libc::EADDRINUSE,
                "{kind:?}"
            );
            assert_eq!(sock::local_port(&late), 0);
            assert_eq!(assert_ok!(raw::conflict(&late)).kind, raw::CONFLICT_IN_USE);
            owner.release();
            let error = connect(&mut ring, &late, kind, flags);
            assert_eq!(error, libc::EADDRNOTAVAIL, "{kind:?}");
        }
    }
}
