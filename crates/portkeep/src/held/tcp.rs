//! Letting an owner's TCP socket bind, and listen, which the kernel checks for conflicts once more.

use std::ffi::c_int;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::thread;

use crate::held::flag::Set;
use crate::held::{device, holder};
use crate::sys;

/// Binds an owner's socket to the port that `holder` holds.
pub(super) fn bind(
    holder: BorrowedFd<'_>,
    socket: BorrowedFd<'_>,
    address: SocketAddr,
) -> io::Result<()> {
    let bind = || sys::bind(socket, address);
    if device::get(socket)? != device::NONE || device::is_named_by(address.ip()) {
        return bind();
    }
    if may_move(socket)? {
        return beside(socket, device::for_bind(socket, address.ip())?, bind);
    }
    let _guard = guard(socket, address);
    let (last, elsewhere) = match elsewhere(socket, address)? {
        Some(other) => other,
        None => {
            // It passes by the owner's, and by no stranger that got in.
            let other = like(socket, address)?;
            sys::set_option(other.as_fd(), libc::SOL_SOCKET, libc::SO_REUSEADDR, &1)?;
            (other, address)
        }
    };
    let _reuse = Set::new(socket, libc::SO_REUSEADDR)?;
    sharing(holder, socket, bind, || sys::bind(last.as_fd(), elsewhere))
}

/// Listens on an owner's socket that is bound to the port.
pub(super) fn listen(
    holder: BorrowedFd<'_>,
    socket: BorrowedFd<'_>,
    backlog: c_int,
) -> io::Result<()> {
    let listen = || sys::listen(socket, backlog);
    if device::get(socket)? != device::NONE {
        return listen();
    }
    if may_move(socket)? {
        return beside(socket, device::OWNERS, listen);
    }
    let address = sys::local_address(socket)?;
    let _reuse = Set::new(socket, libc::SO_REUSEADDR)?;
    if let Some((last, elsewhere)) = elsewhere(socket, address)? {
        let _guard = guard(socket, address);
        return sharing(holder, socket, listen, || {
            sys::bind(last.as_fd(), elsewhere)
        });
    }
    // At all addresses there would be no undoing that the kernel remembers the sharing.
    thread::yield_now();
    let _open = Set::on_holder(holder, libc::SO_REUSEADDR)?;
    listen()
}

/// Makes a call while the holder lets sockets of the same user pass that have `SO_REUSEPORT`.
///
/// The kernel remembers of the last socket that bound or listened with that flag that others like it
/// may pass unchecked (`tb->fastreuseport`). To bind another one without it makes it forget.
fn sharing(
    holder: BorrowedFd<'_>,
    socket: BorrowedFd<'_>,
    call: impl Fn() -> io::Result<()>,
    forget: impl Fn() -> io::Result<()>,
) -> io::Result<()> {
    let _shares = Set::new(socket, libc::SO_REUSEPORT)?;
    // A whole slice of time ahead: to be interrupted now would leave the way open.
    thread::yield_now();
    let _open = Set::on_holder(holder, libc::SO_REUSEPORT)?;
    call()?;
    // It fails where the owner has other sockets that overlap.
    let _ = forget();
    Ok(())
}

/// Makes a call while the socket has a device, which must be one that can be taken away.
fn beside(socket: BorrowedFd<'_>, index: i32, call: impl Fn() -> io::Result<()>) -> io::Result<()> {
    device::set(socket, index)?;
    let result = call();
    device::set(socket, device::NONE)?;
    result
}

/// Whether the socket can be given a device and lose it again. One of MPTCP hands it down to the TCP
/// socket beneath but does not take it back.
fn may_move(socket: BorrowedFd<'_>) -> io::Result<bool> {
    let protocol: c_int = sys::get_option(socket, libc::SOL_SOCKET, libc::SO_PROTOCOL)?;
    Ok(protocol == libc::IPPROTO_TCP && device::may_unset())
}

/// A socket that stands at the port, at all addresses if it can, while an owner's is let in. It has a
/// device, so that it conflicts with strangers only: all that lack `SO_REUSEADDR`. So whoever passes
/// both it and the holder has both flags.
fn guard(socket: BorrowedFd<'_>, address: SocketAddr) -> io::Result<OwnedFd> {
    holder::bind_guard(address.port()).or_else(|_| {
        let guard = like(socket, address)?;
        sys::bind(guard.as_fd(), address)?;
        sys::set_option(guard.as_fd(), libc::SOL_SOCKET, libc::SO_REUSEADDR, &1)?;
        Ok(guard)
    })
}

/// A TCP socket with a device that can bind to the same address.
fn like(socket: BorrowedFd<'_>, address: SocketAddr) -> io::Result<OwnedFd> {
    let family = device::family(socket)?;
    let other = sys::socket(family, libc::SOCK_STREAM, libc::IPPROTO_TCP)?;
    if family == libc::AF_INET6 {
        let only = is_v6_only(socket)?;
        sys::set_option(other.as_fd(), libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, &only)?;
    }
    device::set(other.as_fd(), device::for_bind(socket, address.ip())?)?;
    Ok(other)
}

fn is_v6_only(socket: BorrowedFd<'_>) -> io::Result<c_int> {
    sys::get_option(socket, libc::IPPROTO_IPV6, libc::IPV6_V6ONLY)
}

/// Of the block whose traffic is discarded, RFC 6666.
const DISCARDED: Ipv6Addr = Ipv6Addr::new(0x100, 0, 0, 0, 0, 0, 0, 0x504b);
/// A loopback address as good as any.
const UNUSED: Ipv4Addr = Ipv4Addr::new(127, 80, 75, 1);

/// A TCP socket with a device, and an address for it that nobody uses and that is none of those of a
/// socket at `address`; `None` if it is at all addresses of both families.
fn elsewhere(
    socket: BorrowedFd<'_>,
    address: SocketAddr,
) -> io::Result<Option<(OwnedFd, SocketAddr)>> {
    let v4 = address.ip().to_canonical().is_ipv4();
    if !v4 && address.ip().is_unspecified() && is_v6_only(socket)? == 0 {
        return Ok(None);
    }
    let (family, elsewhere) = match v4 {
        true => (libc::AF_INET6, IpAddr::V6(DISCARDED)),
        false => (libc::AF_INET, IpAddr::V4(UNUSED)),
    };
    let other = sys::socket(family, libc::SOCK_STREAM, libc::IPPROTO_TCP)?;
    sys::set_option(other.as_fd(), libc::IPPROTO_IP, libc::IP_FREEBIND, &1)?;
    device::set(other.as_fd(), device::for_bind(other.as_fd(), elsewhere)?)?;
    Ok(Some((other, SocketAddr::new(elsewhere, address.port()))))
}
