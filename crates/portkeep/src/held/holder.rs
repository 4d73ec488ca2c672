//! The sockets that hold ports.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::held::{device, time_wait};
use crate::protocol::Protocol;
use crate::sys;

/// Binds a holder: at all addresses of both families, or of IPv4 where there is no IPv6.
pub(super) fn bind(protocol: Protocol, port: u16) -> io::Result<OwnedFd> {
    let holder = match bind_plainly(protocol, port, false) {
        Err(error)
            if protocol == Protocol::Tcp
                && error.raw_os_error() == Some(libc::EADDRINUSE)
                && time_wait::is_all_there_is(port) =>
        {
            bind_beside_time_wait(port)?
        }
        holder => holder?,
    };
    // Not before it is bound, lest it pass by sockets that are bound to devices.
    device::set(holder.as_fd(), device::HOLDERS)?;
    Ok(holder)
}

fn bind_plainly(protocol: Protocol, port: u16, reuse: bool) -> io::Result<OwnedFd> {
    bind_socket(protocol, port, |socket| match reuse {
        true => sys::set_option(socket, libc::SOL_SOCKET, libc::SO_REUSEADDR, &1),
        false => Ok(()),
    })
}

fn bind_socket(
    protocol: Protocol,
    port: u16,
    prepare: impl Fn(BorrowedFd<'_>) -> io::Result<()>,
) -> io::Result<OwnedFd> {
    let open = |family, address| {
        let socket = sys::socket(family, protocol.socket_type(), protocol.number())?;
        if family == libc::AF_INET6 {
            sys::set_option(socket.as_fd(), libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, &0)?;
        }
        prepare(socket.as_fd())?;
        sys::bind(socket.as_fd(), address)?;
        Ok(socket)
    };
    let everywhere = SocketAddr::from((Ipv6Addr::UNSPECIFIED, port));
    open(libc::AF_INET6, everywhere).or_else(|error: io::Error| match error.raw_os_error() {
        Some(libc::EAFNOSUPPORT | libc::EADDRNOTAVAIL) => open(
            libc::AF_INET,
            SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)),
        ),
        _ => Err(error),
    })
}

/// With `SO_REUSEADDR` a socket may bind beside the remains of connections that had it too.
fn bind_beside_time_wait(port: u16) -> io::Result<OwnedFd> {
    let holder = bind_plainly(Protocol::Tcp, port, true)?;
    sys::set_option(holder.as_fd(), libc::SOL_SOCKET, libc::SO_REUSEADDR, &0)?;
    // The kernel may have noted for the port that all its sockets reuse (`tb->fastreuse`), which
    // the flag of one of them does not undo. Then the next one gets in, and nothing is held.
    match bind_plainly(Protocol::Tcp, port, true) {
        Ok(_) => Err(io::Error::from_raw_os_error(libc::EADDRINUSE)),
        Err(_) => Ok(holder),
    }
}
