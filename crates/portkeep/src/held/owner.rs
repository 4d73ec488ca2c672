//! Letting sockets of the owner in.

use std::ffi::c_int;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::BorrowedFd;

use crate::held::device;
use crate::protocol::Protocol;
use crate::sys;

/// Binds an owner's socket to the port that `holder` holds.
pub(super) fn bind(
    protocol: Protocol,
    holder: BorrowedFd<'_>,
    socket: BorrowedFd<'_>,
    address: SocketAddr,
) -> io::Result<()> {
    let bind = || sys::bind(socket, address);
    // A socket with a device is beside UDP holders anyhow; a link-local address brings one along.
    let has_device = device::get(socket)? != device::NONE || needs_scope(address.ip());
    match protocol {
        Protocol::Udp if has_device => bind(),
        // A socket that shares is put into the group of those with its device, so it must have
        // the one it will keep (`udp_reuseport_add_sock()` in `net/ipv4/udp.c`).
        Protocol::Udp if is_set(socket, libc::SO_REUSEPORT)? => {
            let _open = Set::new(holder, libc::SO_REUSEPORT)?;
            bind()
        }
        Protocol::Udp => {
            device::set(socket, device::for_bind(family(socket)?, address.ip())?)?;
            let bound = bind();
            // This checks nothing, so it gives way to nobody (`__udp_disconnect()`).
            sys::disconnect(socket)?;
            bound
        }
        Protocol::Tcp if !has_device && may_move(socket)? => {
            let index = device::for_bind(family(socket)?, address.ip())?;
            beside(holder, socket, index, bind)
        }
        Protocol::Tcp => reusing(holder, socket, bind),
    }
}

/// Listens on an owner's TCP socket: the kernel checks for conflicts once more.
pub(super) fn listen(
    holder: BorrowedFd<'_>,
    socket: BorrowedFd<'_>,
    backlog: c_int,
) -> io::Result<()> {
    let listen = || sys::listen(socket, backlog);
    if device::get(socket)? == device::NONE && may_move(socket)? {
        beside(holder, socket, device::OWNERS, listen)
    } else {
        reusing(holder, socket, listen)
    }
}

/// Makes a call while the two sockets have different devices.
fn beside(
    holder: BorrowedFd<'_>,
    socket: BorrowedFd<'_>,
    index: i32,
    call: impl Fn() -> io::Result<()>,
) -> io::Result<()> {
    let _socket = Moved::new(socket, index)?;
    let _holder = Moved::new(holder, device::HOLDERS)?;
    call()
}

/// Makes a call while the two sockets have `SO_REUSEADDR`, the holder no longer than the call.
fn reusing(
    holder: BorrowedFd<'_>,
    socket: BorrowedFd<'_>,
    call: impl Fn() -> io::Result<()>,
) -> io::Result<()> {
    let _socket = match is_set(socket, libc::SO_REUSEADDR)? {
        true => None,
        false => Some(Set::new(socket, libc::SO_REUSEADDR)?),
    };
    let _holder = Set::new(holder, libc::SO_REUSEADDR)?;
    call()
}

/// A flag of a socket that is taken away again.
struct Set<'a>(BorrowedFd<'a>, c_int);

impl<'a> Set<'a> {
    fn new(socket: BorrowedFd<'a>, flag: c_int) -> io::Result<Set<'a>> {
        sys::set_option(socket, libc::SOL_SOCKET, flag, &1)?;
        Ok(Set(socket, flag))
    }
}

impl Drop for Set<'_> {
    fn drop(&mut self) {
        // Of the options that a socket has this is one that cannot fail.
        let _ = sys::set_option(self.0, libc::SOL_SOCKET, self.1, &0);
    }
}

/// A device of a socket that is taken away again, for which it has been tried.
struct Moved<'a>(BorrowedFd<'a>);

impl<'a> Moved<'a> {
    fn new(socket: BorrowedFd<'a>, index: i32) -> io::Result<Moved<'a>> {
        device::set(socket, index)?;
        Ok(Moved(socket))
    }
}

impl Drop for Moved<'_> {
    fn drop(&mut self) {
        let _ = device::set(self.0, device::NONE);
    }
}

/// Whether a TCP socket can be given a device and lose it again. One of MPTCP hands it down to the
/// TCP socket beneath but does not take it back.
fn may_move(socket: BorrowedFd<'_>) -> io::Result<bool> {
    let protocol: c_int = sys::get_option(socket, libc::SOL_SOCKET, libc::SO_PROTOCOL)?;
    Ok(protocol == libc::IPPROTO_TCP && device::may_unset())
}

fn is_set(socket: BorrowedFd<'_>, flag: c_int) -> io::Result<bool> {
    Ok(sys::get_option::<c_int>(socket, libc::SOL_SOCKET, flag)? != 0)
}

fn family(socket: BorrowedFd<'_>) -> io::Result<c_int> {
    sys::get_option(socket, libc::SOL_SOCKET, libc::SO_DOMAIN)
}

/// Whether the address names its device by the scope id: `fe80::/10` and `ff02::/16` and `ff01::/16`.
fn needs_scope(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(_) => false,
        IpAddr::V6(address) => {
            let first = address.segments()[0];
            first & 0xffc0 == 0xfe80 || matches!(first & 0xff0f, 0xff01 | 0xff02)
        }
    }
}

/// The protocol whose ports a socket binds to: a socket of MPTCP binds one of TCP.
pub(super) fn protocol(socket: BorrowedFd<'_>) -> io::Result<Option<Protocol>> {
    let ask = |option| sys::get_option::<c_int>(socket, libc::SOL_SOCKET, option);
    if !matches!(family(socket)?, libc::AF_INET | libc::AF_INET6) {
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
    fn addresses_with_a_scope() {
        for (address, scoped) in [
            ("::", false),
            ("::1", false),
            ("127.0.0.1", false),
            ("2001:db8::1", false),
            ("fe80::1", true),
            ("febf::1", true),
            ("fec0::1", false),
            ("ff02::1", true),
            ("ff12::1", true),
            ("ff05::1", false),
        ] {
            let address: IpAddr = address.parse().expect("an address");
            assert_eq!(needs_scope(address), scoped, "{address}");
        }
    }

    #[test]
    fn a_unix_socket_has_no_ports() -> io::Result<()> {
        let (socket, _) = std::os::unix::net::UnixDatagram::pair()?;
        assert_eq!(protocol(socket.as_fd())?, None);
        Ok(())
    }
}
