//! Processes that try to get at ports that stay reserved.

use std::collections::BTreeSet;
use std::ptr;
use std::sync::atomic::{AtomicU32, Ordering};

use portkeep_tests::libc::{self, EADDRINUSE};
use portkeep_tests::{Protocol, proc, raw, sock};

/// Numbers that forked processes share.
pub struct Shared(*const [AtomicU32; 2]);

impl Shared {
    pub fn new() -> Self {
        let (protection, flags) = (
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_SHARED | libc::MAP_ANONYMOUS,
        );
        // SAFETY: a new mapping, which nothing else refers to.
        let address = unsafe { libc::mmap(ptr::null_mut(), 4096, protection, flags, -1, 0) };
        assert_ne!(address, libc::MAP_FAILED);
        Self(address.cast())
    }

    fn numbers(&self) -> &[AtomicU32; 2] {
        // SAFETY: the mapping is zeroed, aligned, large enough and never unmapped.
        unsafe { &*self.0 }
    }

    pub fn stop(&self) -> &AtomicU32 {
        &self.numbers()[0]
    }

    pub fn rounds(&self) -> &AtomicU32 {
        &self.numbers()[1]
    }

    /// Waits until all ports have been tried twice.
    pub fn wait_for_rounds(&self, kept: &BTreeSet<(Protocol, u16)>) {
        while !kept.is_empty() && self.rounds().load(Ordering::Relaxed) < 2 {
            std::thread::yield_now();
        }
    }

    /// Waits until somebody has got a port, or all have been tried a few times more.
    pub fn wait_for_another_round(&self) {
        let before = self.rounds().load(Ordering::Relaxed);
        let is_over = || self.stop().load(Ordering::Relaxed) != 0;
        while !is_over() && self.rounds().load(Ordering::Relaxed) < before + 4 {
            std::thread::yield_now();
        }
    }
}

/// Tries each port again and again, by a bind or an acquire, until it is told to stop. Exits with 1 if it gets
/// one.
pub fn strangers(kept: &BTreeSet<(Protocol, u16)>, shared: &Shared, acquires: bool) -> proc::Child {
    proc::fork_child(|| {
        // A user that no entry names.
        proc::drop_privileges(65_533, 65_533);
        while shared.stop().load(Ordering::Relaxed) == 0 {
            for (protocol, port) in kept {
                let socket = match protocol {
                    Protocol::Tcp => sock::tcp6(),
                    Protocol::Udp => sock::udp6(),
                };
                let tried = if acquires {
                    raw::acquire4(&socket, *port, 1)
                } else {
                    sock::bind_any(&socket, *port)
                };
                if tried != Err(EADDRINUSE) {
                    println!("{protocol:?} {port} was free: {tried:?}");
                    shared.stop().store(1, Ordering::Relaxed);
                    return 1;
                }
            }
            shared.rounds().fetch_add(1, Ordering::Relaxed);
        }
        0
    })
}
