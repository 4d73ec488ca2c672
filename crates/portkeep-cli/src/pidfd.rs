//! Handles of processes.

use std::os::fd::{FromRawFd as _, OwnedFd};

use nix::errno::Errno;

/// Opens one, pidfd_open(2). It is readable once the process has ended.
pub fn open(pid: i32, flags: u32) -> nix::Result<OwnedFd> {
    // SAFETY: the call takes no pointers.
    let descriptor = Errno::result(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, flags) })?;
    // SAFETY: the kernel has just returned this descriptor, nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor as i32) })
}
