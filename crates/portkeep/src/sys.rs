//! The system calls the crate makes.

use std::ffi::c_int;
use std::io;
use std::mem::{self, MaybeUninit};
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::slice;
use std::time::Duration;

use crate::abi;

/// Turns the -1 of a system call into the error that errno tells.
fn check(result: c_int) -> io::Result<c_int> {
    if result == -1 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

/// A value that can be given to or taken from the kernel as bytes.
///
/// # Safety
///
/// The type has no padding, and every bit pattern is one of its values.
pub(crate) unsafe trait Plain: Copy {}

// SAFETY: integers have no padding and no invalid values.
unsafe impl Plain for i32 {}
// SAFETY: as above.
unsafe impl Plain for u32 {}
// SAFETY: as above.
unsafe impl Plain for u64 {}
// SAFETY: abi.rs asserts the size and every offset; all fields are integers.
unsafe impl Plain for abi::AcquireRequest {}
// SAFETY: as above.
unsafe impl Plain for abi::Instance {}
// SAFETY: as above.
unsafe impl Plain for abi::ConflictRecord {}

// SAFETY: as above.
unsafe impl Plain for abi::ConsumerRecord {}
// SAFETY: as above.
unsafe impl Plain for abi::DeleteRequest {}
// SAFETY: as above.
unsafe impl Plain for abi::Range {}

/// The bytes of a value.
pub(crate) fn bytes_of<T: Plain>(value: &T) -> &[u8] {
    // SAFETY: it is so long, has no padding, and is borrowed as long as its bytes.
    unsafe { slice::from_raw_parts((&raw const *value).cast(), mem::size_of::<T>()) }
}

/// `setsockopt(2)`
pub(crate) fn set_option<T: Plain>(
    socket: BorrowedFd<'_>,
    level: c_int,
    option: c_int,
    value: &T,
) -> io::Result<()> {
    set_option_bytes(socket, level, option, bytes_of(value))
}

/// `setsockopt(2)` of a value that has no one length.
pub(crate) fn set_option_bytes(
    socket: BorrowedFd<'_>,
    level: c_int,
    option: c_int,
    value: &[u8],
) -> io::Result<()> {
    // SAFETY: the pointer and the length describe `value`, which outlives the call.
    check(unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            option,
            value.as_ptr().cast(),
            value.len() as libc::socklen_t,
        )
    })?;
    Ok(())
}

/// `getsockopt(2)` of a value that is exactly as long as `T`.
pub(crate) fn get_option<T: Plain>(
    socket: BorrowedFd<'_>,
    level: c_int,
    option: c_int,
) -> io::Result<T> {
    let mut value = MaybeUninit::<T>::zeroed();
    let mut length = mem::size_of::<T>() as libc::socklen_t;
    // SAFETY: the pointer and the length describe `value`; the kernel writes no more than the length.
    check(unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            level,
            option,
            value.as_mut_ptr().cast(),
            &raw mut length,
        )
    })?;
    if length as usize != mem::size_of::<T>() {
        return Err(io::Error::from_raw_os_error(libc::EPROTO));
    }
    // SAFETY: the value began as zeros, and any bytes the kernel wrote make a valid T.
    Ok(unsafe { value.assume_init() })
}

/// The number that names a socket until the next boot (`SO_COOKIE`, Linux 4.12).
pub(crate) fn cookie(socket: BorrowedFd<'_>) -> io::Result<u64> {
    get_option(socket, libc::SOL_SOCKET, libc::SO_COOKIE)
}

/// `socket(2)`, closed on exec.
pub(crate) fn socket(family: c_int, kind: c_int, protocol: c_int) -> io::Result<OwnedFd> {
    // SAFETY: socket(2) takes no pointers.
    let fd = check(unsafe { libc::socket(family, kind | libc::SOCK_CLOEXEC, protocol) })?;
    // SAFETY: the kernel has just returned this descriptor, nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// `bind(2)`
pub(crate) fn bind(socket: BorrowedFd<'_>, address: SocketAddr) -> io::Result<()> {
    match address {
        SocketAddr::V4(address) => bind_to(
            socket,
            &libc::sockaddr_in {
                sin_family: libc::AF_INET as libc::sa_family_t,
                sin_port: address.port().to_be(),
                sin_addr: libc::in_addr {
                    s_addr: u32::from_ne_bytes(address.ip().octets()),
                },
                sin_zero: [0; 8],
            },
        ),
        SocketAddr::V6(address) => bind_to(
            socket,
            &libc::sockaddr_in6 {
                sin6_family: libc::AF_INET6 as libc::sa_family_t,
                sin6_port: address.port().to_be(),
                sin6_flowinfo: address.flowinfo(),
                sin6_addr: libc::in6_addr {
                    s6_addr: address.ip().octets(),
                },
                sin6_scope_id: address.scope_id(),
            },
        ),
    }
}

fn bind_to<T>(socket: BorrowedFd<'_>, address: &T) -> io::Result<()> {
    // SAFETY: the pointer and the length describe `address`, a whole socket address of its family.
    check(unsafe {
        libc::bind(
            socket.as_raw_fd(),
            (&raw const *address).cast(),
            mem::size_of::<T>() as libc::socklen_t,
        )
    })?;
    Ok(())
}

/// `listen(2)` with the longest queue; the kernel cuts it to `net.core.somaxconn`.
pub(crate) fn listen(socket: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: listen(2) takes no pointers.
    check(unsafe { libc::listen(socket.as_raw_fd(), libc::SOMAXCONN) })?;
    Ok(())
}

/// The port an IPv4 or IPv6 socket is bound to, `None` if it is not bound (`getsockname(2)`).
pub(crate) fn bound_port(socket: BorrowedFd<'_>) -> io::Result<Option<u16>> {
    let mut address = MaybeUninit::<libc::sockaddr_in6>::zeroed();
    let mut length = mem::size_of::<libc::sockaddr_in6>() as libc::socklen_t;
    // SAFETY: the pointer and the length describe `address`; the kernel writes no more than the length.
    check(unsafe {
        libc::getsockname(
            socket.as_raw_fd(),
            address.as_mut_ptr().cast(),
            &raw mut length,
        )
    })?;
    // SAFETY: all fields are integers, and what the kernel has not written is zero.
    let address = unsafe { address.assume_init() };
    // The port is at the same place in sockaddr_in.
    const _: () = assert!(
        mem::offset_of!(libc::sockaddr_in, sin_port)
            == mem::offset_of!(libc::sockaddr_in6, sin6_port)
    );
    let internet = [libc::AF_INET, libc::AF_INET6].contains(&i32::from(address.sin6_family));
    Ok(Some(u16::from_be(address.sin6_port)).filter(|&port| internet && port != 0))
}

/// The time since boot, suspended time included (`CLOCK_BOOTTIME` of `clock_gettime(2)`).
pub(crate) fn time_since_boot() -> Duration {
    let mut now = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `now` is a timespec to write to. The call cannot fail: the clock exists since Linux 2.6.39.
    unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, &raw mut now) };
    Duration::new(now.tv_sec.unsigned_abs(), now.tv_nsec as u32)
}
