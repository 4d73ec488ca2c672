//! Letting sockets of the owner in.

use std::ffi::c_int;
use std::io;
use std::net::SocketAddr;
use std::os::fd::BorrowedFd;

use crate::held::holder::Holder;
use crate::held::{device, tcp, udp};
use crate::sys;
use crate::types::Protocol;

/// Binds an owner's socket to the port that `holder` holds.
pub(super) fn bind(
    protocol: Protocol,
    holder: &Holder,
    socket: BorrowedFd<'_>,
    address: SocketAddr,
) -> io::Result<()> {
    let holder = holder.lock()?;
    match protocol {
        Protocol::Tcp => tcp::bind(&holder, socket, address),
        Protocol::Udp => udp::bind(&holder, socket, address),
    }
}

/// Listens on an owner's TCP socket that is bound to the port.
pub(super) fn listen(holder: &Holder, socket: BorrowedFd<'_>, backlog: c_int) -> io::Result<()> {
    tcp::listen(&holder.lock()?, socket, backlog)
}

/// Takes back a UDP port that was opened for sockets that are closed by now.
pub(super) fn take_back(holder: &Holder, port: u16) -> io::Result<bool> {
    udp::take_back(holder.lock()?.socket, port)
}

/// The protocol whose ports a socket binds to: a socket of MPTCP binds one of TCP.
pub(super) fn protocol(socket: BorrowedFd<'_>) -> io::Result<Option<Protocol>> {
    let ask = |option| sys::get_option::<c_int>(socket, libc::SOL_SOCKET, option);
    if !matches!(device::family(socket)?, libc::AF_INET | libc::AF_INET6) {
        return Ok(None);
    }
    Ok(match (ask(libc::SO_TYPE)?, ask(libc::SO_PROTOCOL)?) {
        (libc::SOCK_STREAM, libc::IPPROTO_TCP | libc::IPPROTO_MPTCP) => Some(Protocol::Tcp),
        (libc::SOCK_DGRAM, libc::IPPROTO_UDP) => Some(Protocol::Udp),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd as _;

    #[test]
    fn a_unix_socket_has_no_ports() -> io::Result<()> {
        let (socket, _) = std::os::unix::net::UnixDatagram::pair()?;
        assert_eq!(protocol(socket.as_fd())?, None);
        Ok(())
    }
}
