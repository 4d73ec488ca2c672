//! Flags of sockets that are set for a while.

use std::ffi::c_int;
use std::io;
use std::os::fd::BorrowedFd;

use crate::sys;

/// Whether an option of the level `SOL_SOCKET` is set.
pub(super) fn is_set(socket: BorrowedFd<'_>, flag: c_int) -> io::Result<bool> {
    Ok(sys::get_option::<c_int>(socket, libc::SOL_SOCKET, flag)? != 0)
}

/// Sets one.
pub(super) fn set(socket: BorrowedFd<'_>, flag: c_int) -> io::Result<()> {
    sys::set_option(socket, libc::SOL_SOCKET, flag, &1)
}

/// A flag that is set until this is dropped. One that was set before stays so.
#[derive(Debug)]
pub(super) struct Set<'a> {
    socket: BorrowedFd<'a>,
    flag: Option<c_int>,
}

impl<'a> Set<'a> {
    pub(super) fn new(socket: BorrowedFd<'a>, flag: c_int) -> io::Result<Set<'a>> {
        if is_set(socket, flag)? {
            return Ok(Set { socket, flag: None });
        }
        Set::unset_before(socket, flag)
    }

    /// As `new`, for a socket whose flag is known not to be set. Holders have none except while an owner is
    /// let in.
    pub(super) fn unset_before(socket: BorrowedFd<'a>, flag: c_int) -> io::Result<Set<'a>> {
        set(socket, flag)?;
        Ok(Set {
            socket,
            flag: Some(flag),
        })
    }
}

impl Drop for Set<'_> {
    fn drop(&mut self) {
        if let Some(flag) = self.flag {
            // Of a socket that had the flag set the call cannot fail.
            let _ = sys::set_option(self.socket, libc::SOL_SOCKET, flag, &0);
        }
    }
}
