//! The system calls the crate makes.

use std::ffi::{CStr, c_int};
use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// Turns the -1 of a system call into the error that errno tells.
fn check(result: c_int) -> io::Result<c_int> {
    if result == -1 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

/// `openat(2)`, closed on exec; `directory` is the current one if it is `None`.
pub(crate) fn open_at(
    directory: Option<BorrowedFd<'_>>,
    path: &CStr,
    flags: c_int,
) -> io::Result<File> {
    let directory = directory.map_or(libc::AT_FDCWD, |it| it.as_raw_fd());
    // SAFETY: the path is a C string that outlives the call.
    let fd = check(unsafe { libc::openat(directory, path.as_ptr(), flags | libc::O_CLOEXEC) })?;
    // SAFETY: the kernel has just returned this descriptor, nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) }.into())
}

/// The magic number of the file system that an open file is in (`fstatfs(2)`).
pub(crate) fn file_system_magic(file: BorrowedFd<'_>) -> io::Result<u32> {
    let mut status = MaybeUninit::<libc::statfs>::zeroed();
    // SAFETY: `status` has room for the result.
    check(unsafe { libc::fstatfs(file.as_raw_fd(), status.as_mut_ptr()) })?;
    // SAFETY: the call filled it in; it was zeroed before, too.
    let magic = unsafe { status.assume_init() }.f_type;
    // Its type differs between architectures; the magic numbers have 32 bits.
    Ok(magic as u32)
}
