//! Who has which port, written down in memory that all processes share.
//!
//! A process enters a port after the kernel has granted it and strikes it out before it gives it
//! back. So whatever stands in the ledger was granted, and two entries for a port mean that the
//! kernel granted it twice.

use std::ptr::NonNull;
use std::slice;
use std::sync::atomic::{AtomicU32, Ordering};

use portkeep_tests::libc;

const PORTS: usize = 1 << 16;

/// One protocol's ports.
#[derive(Clone, Copy)]
pub struct Ledger {
    owners: &'static [AtomicU32],
    binders: &'static [AtomicU32],
}

/// Zeroed memory that children share with their parent, for the life of the process.
fn shared(count: usize) -> &'static [AtomicU32] {
    let length = count * size_of::<AtomicU32>();
    // SAFETY: an anonymous mapping at an address that the kernel chooses.
    let address = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            length,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_SHARED | libc::MAP_ANONYMOUS,
            -1,
            0,
        )
    };
    assert_ne!(address, libc::MAP_FAILED, "mmap");
    let address = NonNull::new(address.cast::<AtomicU32>()).expect("a mapping is not at 0");
    // SAFETY: the mapping is that long, zeroed, aligned to a page, and never unmapped.
    unsafe { slice::from_raw_parts(address.as_ptr(), count) }
}

impl Ledger {
    pub fn new() -> Ledger {
        Ledger {
            owners: shared(PORTS),
            binders: shared(PORTS),
        }
    }

    /// `who` acquired the ports: nobody else may own one, and no stranger be bound to one.
    pub fn acquired(&self, who: u32, ports: impl Iterator<Item = u16>) {
        for port in ports.map(usize::from) {
            let before = self.owners[port].swap(who, Ordering::SeqCst);
            assert_eq!(
                before, 0,
                "port {port} was granted to {who} while {before} owned it"
            );
            let bound = self.binders[port].load(Ordering::SeqCst);
            assert_eq!(
                bound, 0,
                "port {port} was granted to {who} while {bound} was bound to it"
            );
        }
    }

    /// `who` is about to give the ports back.
    pub fn releasing(&self, who: u32, ports: impl Iterator<Item = u16>) {
        for port in ports.map(usize::from) {
            let before = self.owners[port].swap(0, Ordering::SeqCst);
            assert_eq!(before, who, "port {port} of {who} was entered for {before}");
        }
    }

    /// `who`, a stranger, bound to the port: nobody may own it.
    pub fn bound(&self, who: u32, port: u16) {
        // Two sockets of strangers can share a port only with SO_REUSEADDR, which none sets.
        let before = self.binders[usize::from(port)].swap(who, Ordering::SeqCst);
        assert_eq!(before, 0, "{who} and {before} are bound to port {port}");
        self.no_owner(who, port);
    }

    /// `who` is about to close the socket that is bound to the port.
    pub fn closing(&self, who: u32, port: u16) {
        self.no_owner(who, port);
        self.binders[usize::from(port)].store(0, Ordering::SeqCst);
    }

    fn no_owner(&self, who: u32, port: u16) {
        let owner = self.owners[usize::from(port)].load(Ordering::SeqCst);
        assert_eq!(
            owner, 0,
            "{who} is bound to port {port}, which {owner} owns"
        );
    }

    /// Whether nothing stands in it.
    pub fn is_empty(&self) -> bool {
        self.owners
            .iter()
            .chain(self.binders)
            .all(|entry| entry.load(Ordering::SeqCst) == 0)
    }
}
