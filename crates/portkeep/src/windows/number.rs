//! Windows' numbers for what the shared modules have from `libc` on Linux.

use std::ffi::c_int;

pub(crate) const IPPROTO_TCP: c_int = 6;
pub(crate) const IPPROTO_UDP: c_int = 17;
pub(crate) const SOCK_STREAM: c_int = 1;
pub(crate) const SOCK_DGRAM: c_int = 2;
/// `WSAEINVAL`
pub(crate) const EINVAL: c_int = 10022;
/// `WSAEADDRNOTAVAIL`
pub(crate) const EADDRNOTAVAIL: c_int = 10049;
