//! Systems without the calls: everything is refused with `ErrorKind::NotSupported`, so that programs
//! need no conditions to be compiled there. Windows has what only Linux has from here.

#[cfg(not(windows))]
mod reserved;
pub mod sockopt;

use std::io;
use std::path::Path;
use std::time::Duration;

#[cfg(not(windows))]
pub(crate) use reserved::{BACKLOG, Reserved, open};

use crate::types::{Entry, Error, HeldEntry};

/// The reservations that Portkeep's kernel part keeps on Linux.
///
/// # Errors
///
/// [`ErrorKind::NotSupported`](crate::ErrorKind::NotSupported)
pub fn list() -> Result<Vec<Entry>, Error> {
    Err(Error::not_supported("the list of reservations"))
}

/// The reservations that an installation in a given bpf file system keeps on Linux.
///
/// # Errors
///
/// [`ErrorKind::NotSupported`](crate::ErrorKind::NotSupported)
pub fn list_at(_mount: impl AsRef<Path>) -> Result<Vec<Entry>, Error> {
    list()
}

/// The reservations that processes of this user hold by sockets on Linux; here there are none.
pub fn list_held() -> Vec<HeldEntry> {
    Vec::new()
}

/// The version of the kernel ABI that answers this process on Linux.
///
/// # Errors
///
/// [`ErrorKind::NotSupported`](crate::ErrorKind::NotSupported)
pub fn version() -> Result<u32, Error> {
    Err(Error::not_supported("Portkeep's kernel part"))
}

/// The cookie of the calling thread's network namespace on Linux.
///
/// # Errors
///
/// Of the kind [`Unsupported`](io::ErrorKind::Unsupported).
pub fn netns_cookie() -> io::Result<u64> {
    Err(Error::not_supported("a network namespace").into())
}

/// Of nothing: there are no entries to ask for their age.
pub(crate) fn time_since_boot() -> Duration {
    Duration::ZERO
}
