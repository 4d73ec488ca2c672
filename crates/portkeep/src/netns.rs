use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use crate::sys;

/// The cookie of the calling thread's network namespace (`SO_NETNS_COOKIE`, Linux 5.14).
///
/// It is a number that names the namespace until the next boot; [`Entry`](crate::Entry) has it too.
///
/// # Errors
///
/// Those of `socket(2)`, such as `EMFILE`.
pub fn netns_cookie() -> io::Result<u64> {
    let socket = sys::socket(libc::AF_UNIX, libc::SOCK_DGRAM, 0)?;
    cookie_of(socket.as_fd())
}

/// The cookie of a socket's network namespace.
pub(crate) fn cookie_of(socket: BorrowedFd<'_>) -> io::Result<u64> {
    sys::get_option(socket, libc::SOL_SOCKET, libc::SO_NETNS_COOKIE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_socket_is_in_the_namespace_of_its_thread() -> io::Result<()> {
        let cookie = netns_cookie()?;
        assert_ne!(cookie, 0);
        let socket = std::net::UdpSocket::bind("127.0.0.1:0")?;
        assert_eq!(cookie_of(socket.as_fd())?, cookie);
        Ok(())
    }
}
