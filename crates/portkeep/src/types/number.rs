//! Numbers of the system that the types speak of.

#[cfg(unix)]
pub(crate) use libc::{EADDRNOTAVAIL, EINVAL, IPPROTO_TCP, IPPROTO_UDP};
#[cfg(target_os = "linux")]
pub(crate) use libc::{SOCK_DGRAM, SOCK_STREAM};

#[cfg(not(unix))]
pub(crate) use winsock::*;

/// Those of Windows. The library has no calls where neither they nor libc's are meant.
#[cfg(not(unix))]
mod winsock {
    pub(crate) const IPPROTO_TCP: i32 = 6;
    pub(crate) const IPPROTO_UDP: i32 = 17;
    #[cfg(windows)]
    pub(crate) const SOCK_STREAM: i32 = 1;
    #[cfg(windows)]
    pub(crate) const SOCK_DGRAM: i32 = 2;
    /// `WSAEINVAL`
    pub(crate) const EINVAL: i32 = 10022;
    /// `WSAEADDRNOTAVAIL`
    pub(crate) const EADDRNOTAVAIL: i32 = 10049;
}
