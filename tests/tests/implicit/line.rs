//! Threads that begin together.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// Lets several threads begin each round together, without a system call that would keep them apart.
pub(crate) struct Line {
    arrived: AtomicUsize,
    threads: usize,
}

impl Line {
    pub(crate) fn of(threads: usize) -> Self {
        Self {
            arrived: AtomicUsize::new(0),
            threads,
        }
    }

    pub(crate) fn cross(&self, round: usize) {
        self.arrived.fetch_add(1, Ordering::SeqCst);
        let mut turns = 0_u32;
        while self.arrived.load(Ordering::SeqCst) < self.threads * (round + 1) {
            turns += 1;
            // Another thread may have no CPU.
            if turns.is_multiple_of(1 << 10) {
                thread::yield_now();
            }
            std::hint::spin_loop();
        }
    }
}

/// Lets calls meet at every point of each other.
pub(crate) fn dawdle(turns: usize) {
    for _ in 0..turns * 8 {
        std::hint::spin_loop();
    }
}
