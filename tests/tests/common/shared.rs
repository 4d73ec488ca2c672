//! Memory that a process shares with the children it forks.

#![allow(dead_code, reason = "each target needs another one")]

use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};

use portkeep_tests::libc;

/// A number in memory that all processes share which are forked after it was made.
#[derive(Clone, Copy)]
pub(crate) struct Shared(&'static AtomicU64);

impl Shared {
    /// The number 0, for the life of the process.
    pub(crate) fn new() -> Self {
        // SAFETY: an anonymous mapping at an address that the kernel chooses.
        let address = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                size_of::<AtomicU64>(),
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        assert_ne!(address, libc::MAP_FAILED, "mmap");
        let address = NonNull::new(address.cast::<AtomicU64>()).expect("a mapping is not at 0");
        // SAFETY: a zeroed page, aligned, and never unmapped.
        Self(unsafe { address.as_ref() })
    }

    pub(crate) fn get(self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }

    pub(crate) fn set(self, value: u64) {
        self.0.store(value, Ordering::SeqCst);
    }

    pub(crate) fn add_one(self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}
