//! What the holder inherited from our caller and must give up.

use std::fs::File;
use std::os::fd::{AsRawFd as _, BorrowedFd, RawFd};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::unistd::{chdir, close, dup2_stderr, dup2_stdin, dup2_stdout};

use crate::error::{Context as _, Result};

/// Closes what came from our caller and now belongs to the command: the other end may wait until the
/// last copy is closed, as `| cat` does. Leaves the working directory so that it can be unmounted.
pub fn leave() -> Result<()> {
    let null = File::options()
        .read(true)
        .write(true)
        .open("/dev/null")
        .context("/dev/null")?;
    dup2_stdin(&null)?;
    dup2_stdout(&null)?;
    dup2_stderr(&null)?;
    for descriptor in inherited_descriptors().unwrap_or_default() {
        let _ = close(descriptor);
    }
    Ok(chdir("/")?)
}

/// The descriptors besides the standard streams that our caller left open for the command: those without
/// the close-on-exec flag. All of ours have it.
fn inherited_descriptors() -> std::io::Result<Vec<RawFd>> {
    let mut inherited = Vec::new();
    for entry in std::fs::read_dir("/proc/self/fd")? {
        let Some(number) = entry?
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        // SAFETY: it is open, or else is the directory's, which is closed after the loop.
        let descriptor = unsafe { BorrowedFd::borrow_raw(number) };
        let flags = fcntl(descriptor, FcntlArg::F_GETFD).map(FdFlag::from_bits_retain);
        if number > 2 && flags.is_ok_and(|flags| !flags.contains(FdFlag::FD_CLOEXEC)) {
            inherited.push(descriptor.as_raw_fd());
        }
    }
    Ok(inherited)
}
