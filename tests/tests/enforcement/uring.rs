//! `IORING_OP_BIND` (Linux 6.11), with which a thread of the kernel may make the call.

use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::AsRawFd;

use io_uring::{IoUring, Probe, opcode, squeue, types};
use portkeep_tests::socket2::{SockAddr, Socket};
use portkeep_tests::{Sandbox, enable, raw, skip, skip_before, sock};

use crate::scene::{BOTH, END, START, acquire, socket4};

fn ring() -> IoUring {
    // ENOSYS, or EPERM by the sysctl kernel.io_uring_disabled.
    let Ok(ring) = IoUring::new(2) else {
        skip("no io_uring for us");
    };
    let mut probe = Probe::new();
    ring.submitter()
        .register_probe(&mut probe)
        .expect("ask for the operations");
    if !probe.is_supported(opcode::Bind::CODE) {
        skip_before("6.11", "no IORING_OP_BIND");
    }
    ring
}

/// 0 or the errno of a bind through the ring.
fn bind(ring: &mut IoUring, socket: &Socket, port: u16, flags: squeue::Flags) -> i32 {
    let address = SockAddr::from(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    let fd = types::Fd(socket.as_raw_fd());
    let entry = opcode::Bind::new(fd, address.as_ptr().cast(), address.len())
        .build()
        .flags(flags);
    // SAFETY: the address and the socket live until the completion has come.
    unsafe { ring.submission().push(&entry) }.expect("room for one entry");
    ring.submit_and_wait(1).expect("submit");
    let result = ring.completion().next().expect("a completion").result();
    -result
}

pub(crate) fn binds_are_refused(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let mut ring = ring();
    // Made by this thread itself, and by a worker of the kernel.
    for flags in [squeue::Flags::empty(), squeue::Flags::ASYNC] {
        for protocol in BOTH {
            let owner = acquire(protocol, 0);
            let stranger = socket4(protocol);
            for port in [START, END] {
                assert_eq!(bind(&mut ring, &stranger, port, flags), libc::EADDRINUSE);
                assert_eq!(sock::local_port(&stranger), 0);
            }
            assert_eq!(bind(&mut ring, &stranger, END + 1, flags), 0);

            let associated = owner.associated();
            assert_eq!(bind(&mut ring, &associated, 0, flags), 0);
            assert!((START..=END).contains(&sock::local_port(&associated)));

            drop((owner, stranger, associated));
            let owner = acquire(protocol, raw::PROCESS);
            assert_eq!(bind(&mut ring, &socket4(protocol), START, flags), 0);
            drop(owner);
            assert_eq!(bind(&mut ring, &socket4(protocol), START, flags), 0);
        }
    }
}
