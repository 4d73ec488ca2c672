//! Letting an owner's TCP socket bind, and listen, which the kernel checks for conflicts once more.

use std::ffi::c_int;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::thread;

use crate::held::device;
use crate::held::flag::{self, Set};
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
    let index = device::for_bind(socket, address.ip())?;
    let_in(holder, socket, address, index, bind)
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
    let address = sys::local_address(socket)?;
    let_in(holder, socket, address, device::OWNERS, listen)
}

fn let_in(
    holder: BorrowedFd<'_>,
    socket: BorrowedFd<'_>,
    address: SocketAddr,
    index: i32,
    call: impl Fn() -> io::Result<()>,
) -> io::Result<()> {
    let may_move = may_move(socket)?;
    if may_move && !flag::is_set(socket, libc::SO_REUSEPORT)? {
        return beside(socket, index, call);
    }
    match sharing(holder, socket, address, &call) {
        // A command that has become another user shares with nobody.
        Err(error) if may_move && error.raw_os_error() == Some(libc::EADDRINUSE) => {
            beside(socket, index, call)
        }
        result => result,
    }
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

/// Makes a call while holder and socket have `SO_REUSEPORT`, for which sockets of the same user pass.
///
/// Of the last socket that bound or listened with that flag the kernel remembers user and address,
/// and lets others like it pass unchecked from then on (`tb->fastreuseport` in
/// `net/ipv4/inet_connection_sock.c`). So another one follows, at an address that nobody uses; and
/// once the way is shut, one without the flag, lest a stranger be remembered that came just between.
fn sharing(
    holder: BorrowedFd<'_>,
    socket: BorrowedFd<'_>,
    address: SocketAddr,
    call: impl Fn() -> io::Result<()>,
) -> io::Result<()> {
    let everywhere = is_everywhere(socket, address)?;
    // Without IPv6 there is no such address beside all of IPv4's.
    let last = elsewhere(address, everywhere).and_then(|last| {
        flag::set(last.0.as_fd(), libc::SO_REUSEPORT)?;
        Ok(last)
    });
    forget(address.port())?;
    let _shares = Set::new(socket, libc::SO_REUSEPORT)?;
    // A whole slice of time ahead: to be interrupted now would leave the way open.
    thread::yield_now();
    let first = match everywhere.then(|| remember_half(socket, address.port())) {
        // The half that did bind is remembered: the call would go unchecked.
        Some(Err(error)) if error.raw_os_error() == Some(libc::EADDRINUSE) => {
            forget_strangers(address, everywhere);
            return Err(error);
        }
        half => half.and_then(Result::ok),
    };
    let open = match first {
        Some(_) => None,
        None => Some(Set::on_holder(holder, libc::SO_REUSEPORT)?),
    };
    let result = call();
    if let Ok((last, elsewhere)) = last {
        // It fails where another socket of the owner is at all addresses of its family.
        let _ = sys::bind(last.as_fd(), elsewhere);
    }
    if let Some(open) = open {
        drop(open);
        forget_strangers(address, everywhere);
    }
    result
}

/// How often is tried what a stranger's socket may stand in the way of, for the moment that it exists.
const TRIES: u32 = 4;

/// Makes the kernel forget whoever shared while the way was open. It fails for good where the owner is
/// at all addresses of both families.
fn forget_strangers(address: SocketAddr, everywhere: bool) {
    for _ in 0..TRIES {
        let bound = elsewhere(address, everywhere).and_then(|(socket, elsewhere)| {
            flag::set(socket.as_fd(), libc::SO_REUSEADDR)?;
            sys::bind(socket.as_fd(), elsewhere)
        });
        match bound {
            Err(error) if error.raw_os_error() == Some(libc::EADDRINUSE) => thread::yield_now(),
            _ => return,
        }
    }
}

/// Whether a socket is at all addresses of both families, or is to be.
fn is_everywhere(socket: BorrowedFd<'_>, address: SocketAddr) -> io::Result<bool> {
    let only_v6 = || sys::get_option::<c_int>(socket, libc::IPPROTO_IPV6, libc::IPV6_V6ONLY);
    Ok(address.is_ipv6() && address.ip().is_unspecified() && only_v6()? == 0)
}

/// Makes the kernel forget sockets that did share, and whose like nothing else would replace. It does
/// not while the owner has such a socket: then others of the user may share too, as ever.
fn forget(port: u16) -> io::Result<()> {
    let socket = open(libc::AF_INET, device::GUARDS)?;
    flag::set(socket.as_fd(), libc::SO_REUSEADDR)?;
    let _ = sys::bind(socket.as_fd(), (UNUSED, port).into());
    Ok(())
}

/// Prepares the way for a socket that is to be everywhere. Were it the one that the kernel remembers,
/// every other would be taken for its like, and nothing could take its place. So one that is at all
/// IPv6 addresses goes before it: it is like that one, and those of IPv4 are not.
///
/// What is like the remembered one is not checked, so the check against other sockets of the owner
/// is made here.
fn remember_half(socket: BorrowedFd<'_>, port: u16) -> io::Result<[OwnedFd; 2]> {
    let reuses = flag::is_set(socket, libc::SO_REUSEADDR)?;
    let open = |family| {
        let socket = open(family, device::GUARDS)?;
        flag::set(socket.as_fd(), libc::SO_REUSEPORT)?;
        if reuses {
            flag::set(socket.as_fd(), libc::SO_REUSEADDR)?;
        }
        Ok::<_, io::Error>(socket)
    };
    let (v4, v6) = (open(libc::AF_INET)?, open(libc::AF_INET6)?);
    sys::bind(v4.as_fd(), (Ipv4Addr::UNSPECIFIED, port).into())?;
    sys::set_option(v6.as_fd(), libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, &1)?;
    sys::bind(v6.as_fd(), (Ipv6Addr::UNSPECIFIED, port).into())?;
    Ok([v4, v6])
}

/// A socket that is to take a socket's place in the kernel's memory, and where it is to bind.
fn elsewhere(address: SocketAddr, everywhere: bool) -> io::Result<(OwnedFd, SocketAddr)> {
    let ip = address.ip().to_canonical();
    // The other family where the socket is at all addresses of one. Else its own: whatever other
    // socket of the owner is in the way there is in the socket's way too.
    let v4 = everywhere || ip.is_ipv4() != ip.is_unspecified();
    let (family, elsewhere, index) = match v4 {
        true => (libc::AF_INET, IpAddr::V4(UNUSED), device::OWNERS),
        // To bind to one IPv6 address takes a device that exists.
        false => (libc::AF_INET6, IpAddr::V6(DISCARDED), device::loopback()),
    };
    let socket = open(family, index)?;
    sys::set_option(socket.as_fd(), libc::IPPROTO_IP, libc::IP_FREEBIND, &1)?;
    Ok((socket, SocketAddr::new(elsewhere, address.port())))
}

/// A loopback address as good as any.
const UNUSED: Ipv4Addr = Ipv4Addr::new(127, 80, 75, 1);
/// Of the block whose traffic is discarded, RFC 6666.
const DISCARDED: Ipv6Addr = Ipv6Addr::new(0x100, 0, 0, 0, 0, 0, 0, 0x504b);

/// A TCP socket with a device, which thus conflicts with no holder.
fn open(family: c_int, index: i32) -> io::Result<OwnedFd> {
    let socket = sys::socket(family, libc::SOCK_STREAM, libc::IPPROTO_TCP)?;
    device::set(socket.as_fd(), index)?;
    Ok(socket)
}
