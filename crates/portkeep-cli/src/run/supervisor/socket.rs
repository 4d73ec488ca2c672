//! What a socket tells of itself.

use std::os::fd::{AsRawFd as _, BorrowedFd};

use nix::sys::socket::{SockaddrStorage, getsockname};
use nix::sys::stat::fstat;

/// The address family of a socket.
pub fn family(socket: BorrowedFd<'_>) -> Option<i32> {
    option(socket, libc::SO_DOMAIN)
}

/// The port that a socket is bound to.
pub fn port(socket: BorrowedFd<'_>) -> Option<u16> {
    let name: SockaddrStorage = getsockname(socket.as_raw_fd()).ok()?;
    let port = match (name.as_sockaddr_in(), name.as_sockaddr_in6()) {
        (Some(name), _) => name.port(),
        (_, Some(name)) => name.port(),
        _ => return None,
    };
    (port != 0).then_some(port)
}

/// The cookie of a socket's network namespace.
pub fn namespace(socket: BorrowedFd<'_>) -> Option<u64> {
    option(socket, libc::SO_NETNS_COOKIE)
}

/// Whether a socket shares its port with others of its user.
pub fn shares_its_port(socket: BorrowedFd<'_>) -> bool {
    option(socket, libc::SO_REUSEPORT).is_none_or(|shares: i32| shares != 0)
}

/// Whether it is a stream's, which listens.
pub fn is_stream(socket: BorrowedFd<'_>) -> bool {
    option(socket, libc::SO_TYPE) == Some(libc::SOCK_STREAM)
}

/// The number that names it while it is open.
pub fn inode(socket: BorrowedFd<'_>) -> Option<u64> {
    fstat(socket).ok().map(|status| status.st_ino)
}

/// A socket option that is a number.
fn option<T: Copy + Default>(socket: BorrowedFd<'_>, option: i32) -> Option<T> {
    let mut value = T::default();
    let mut length = size_of::<T>() as libc::socklen_t;
    // SAFETY: the kernel writes no more than the length of the value, which is a number.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            option,
            (&raw mut value).cast(),
            &raw mut length,
        )
    };
    (result == 0 && length as usize == size_of::<T>()).then_some(value)
}
