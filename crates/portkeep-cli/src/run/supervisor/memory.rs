//! The memory of a caller.

use std::fs::File;
use std::io::IoSliceMut;
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::errno::Errno;
use nix::sys::uio::{RemoteIoVec, process_vm_readv};
use nix::unistd::Pid;

/// The profiles of containerd forbid process_vm_readv(2), whatever process is asked for.
static FORBIDDEN: AtomicBool = AtomicBool::new(false);

/// So many bytes of a thread's memory, which must be its owner's and dumpable (ptrace(2), "Ptrace access
/// mode checking"). It may take for ever: the memory may be a file's, or the caller's to fill
/// (userfaultfd(2)).
pub fn read(thread: i32, address: u64, length: usize) -> Option<Vec<u8>> {
    let mut bytes = vec![0; length];
    if !FORBIDDEN.load(Ordering::Relaxed) {
        let remote = RemoteIoVec {
            base: usize::try_from(address).ok()?,
            len: length,
        };
        let mut local = [IoSliceMut::new(&mut bytes)];
        match process_vm_readv(Pid::from_raw(thread), &mut local, &[remote]) {
            Ok(read) => return (read == length).then_some(bytes),
            Err(Errno::EPERM | Errno::ENOSYS) => {}
            Err(_) => return None,
        }
    }
    let memory = File::open(format!("/proc/{thread}/mem")).ok()?;
    // Here the file is to be had, so it was the call that is forbidden, not this process.
    FORBIDDEN.store(true, Ordering::Relaxed);
    memory.read_exact_at(&mut bytes, address).ok()?;
    Some(bytes)
}
