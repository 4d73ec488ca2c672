//! Threads that begin together.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

/// Lets several threads begin each round together, without a system call that would keep them apart.
pub(crate) struct Line {
    arrived: AtomicUsize,
    broken: AtomicBool,
    threads: usize,
}

/// Of a thread: if that panics, the others do not wait for it for ever.
pub(crate) struct Guard<'a>(&'a Line);

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.broken.store(true, Ordering::SeqCst);
        }
    }
}

impl Line {
    pub(crate) fn of(threads: usize) -> Self {
        Self {
            arrived: AtomicUsize::new(0),
            broken: AtomicBool::new(false),
            threads,
        }
    }

    pub(crate) fn guard(&self) -> Guard<'_> {
        Guard(self)
    }

    pub(crate) fn cross(&self, round: usize) {
        self.arrived.fetch_add(1, Ordering::SeqCst);
        let mut turns = 0_u32;
        while self.arrived.load(Ordering::SeqCst) < self.threads * (round + 1) {
            turns += 1;
            let broken = self.broken.load(Ordering::Relaxed);
            assert!(!broken, "another thread panicked, as reported above");
            // Another thread may have no CPU.
            if turns.is_multiple_of(1 << 7) {
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
