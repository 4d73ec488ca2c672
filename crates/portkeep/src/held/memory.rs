//! What the kernel remembers of TCP sockets that share a port.
//!
//! The kernel caches the user and address of the last socket that bound or listened with `SO_REUSEPORT`, and lets
//! others like it pass unchecked from then on (`tb->fastreuseport` and `sk_reuseport_match()` in
//! `net/ipv4/inet_connection_sock.c`): those of that user that share and bind to the same address or,
//! where that is all addresses, to any. A socket that is like it leaves the memory as it is, another that
//! passes takes its place, and one that does not share clears it.
//!
//! So after an owner's socket another follows, a *guard*, at an address that nobody uses.

use std::ffi::c_int;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::thread;

use crate::held::flag::{self, Set};
use crate::held::users::OneUser;
use crate::sys;

/// Loopback addresses as good as any.
const UNUSED: [Ipv4Addr; 3] = [
    Ipv4Addr::new(127, 80, 75, 1),
    Ipv4Addr::new(127, 80, 75, 2),
    Ipv4Addr::new(127, 80, 75, 3),
];
/// Of the block whose traffic is discarded, RFC 6666.
const DISCARDED: [Ipv6Addr; 3] = [
    Ipv6Addr::new(0x100, 0, 0, 0, 0, 0, 0x504b, 1),
    Ipv6Addr::new(0x100, 0, 0, 0, 0, 0, 0x504b, 2),
    Ipv6Addr::new(0x100, 0, 0, 0, 0, 0, 0x504b, 3),
];

/// The family of a guard's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    V4,
    V6,
}

/// A socket that is to be remembered, and where it is to bind.
#[derive(Debug)]
pub(super) struct Guard {
    socket: OwnedFd,
    address: SocketAddr,
}

impl Guard {
    /// The one that is remembered in the end.
    pub(super) fn last(one: &OneUser<'_>, family: Family, near: SocketAddr) -> io::Result<Guard> {
        Guard::at(one, unused(family, near)[0])
    }

    /// One that is not like the last, and so is checked.
    pub(super) fn other(one: &OneUser<'_>, family: Family, near: SocketAddr) -> io::Result<Guard> {
        Guard::at(one, unused(family, near)[1])
    }

    /// At all addresses of a family, and only of that.
    pub(super) fn at_all(one: &OneUser<'_>, family: Family, port: u16) -> io::Result<Guard> {
        let address: IpAddr = match family {
            Family::V4 => Ipv4Addr::UNSPECIFIED.into(),
            Family::V6 => Ipv6Addr::UNSPECIFIED.into(),
        };
        Guard::at(one, (address, port).into())
    }

    fn at(one: &OneUser<'_>, address: SocketAddr) -> io::Result<Guard> {
        let socket = open(address)?;
        flag::set(socket.as_fd(), libc::SO_REUSEPORT)?;
        one.join(socket.as_fd())?;
        Ok(Guard { socket, address })
    }

    pub(super) fn socket(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Is remembered, if it passes and is not like the one that is.
    pub(super) fn bind(&self) -> io::Result<()> {
        sys::bind(self.socket.as_fd(), self.address)
    }
}

fn open(address: SocketAddr) -> io::Result<OwnedFd> {
    let family = match address {
        SocketAddr::V4(_) => libc::AF_INET,
        SocketAddr::V6(_) => libc::AF_INET6,
    };
    let socket = sys::socket(family, libc::SOCK_STREAM, libc::IPPROTO_TCP)?;
    if address.is_ipv6() {
        sys::set_option::<c_int>(socket.as_fd(), libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, &1)?;
    }
    sys::set_option::<c_int>(socket.as_fd(), libc::IPPROTO_IP, libc::IP_FREEBIND, &1)?;
    Ok(socket)
}

/// Two unused addresses of a family that are not the owner's.
fn unused(family: Family, near: SocketAddr) -> [SocketAddr; 2] {
    let near_ip = near.ip().to_canonical();
    let all: [IpAddr; 3] = match family {
        Family::V4 => UNUSED.map(IpAddr::from),
        Family::V6 => DISCARDED.map(IpAddr::from),
    };
    let [one, other, third] = all.map(|ip| SocketAddr::new(ip, near.port()));
    if near_ip == one.ip() {
        [other, third]
    } else if near_ip == other.ip() {
        [one, third]
    } else {
        [one, other]
    }
}

/// Whether an address is one of guards.
pub(super) fn is_unused(address: SocketAddr) -> bool {
    match address.ip().to_canonical() {
        IpAddr::V4(ip) => UNUSED.contains(&ip),
        IpAddr::V6(ip) => DISCARDED.contains(&ip),
    }
}

/// Whether all that is remembered is the last guard, now that the holder does not share: nothing but
/// what is like the one that is remembered passes by it.
pub(super) fn is_last(one: &OneUser<'_>, family: Family, near: SocketAddr) -> io::Result<bool> {
    let passes = |guard: io::Result<Guard>| Ok::<_, io::Error>(guard?.bind().is_ok());
    Ok(passes(Guard::last(one, family, near))? && !passes(Guard::other(one, family, near))?)
}

/// Makes the kernel forget, by a socket that does not share. It passes by the holder for `SO_REUSEADDR`,
/// for which sockets of all users pass meanwhile, though none to listen. So it is done only where a
/// socket of the owner's user has come between.
pub(super) fn clear(holder: BorrowedFd<'_>, near: SocketAddr) -> io::Result<bool> {
    for family in [Family::V4, Family::V6] {
        let [address, _] = unused(family, near);
        let Ok(socket) = open(address) else {
            continue;
        };
        flag::set(socket.as_fd(), libc::SO_REUSEADDR)?;
        thread::yield_now();
        let open = Set::unset_before(holder, libc::SO_REUSEADDR)?;
        let bound = sys::bind(socket.as_fd(), address);
        drop(open);
        if bound.is_ok() {
            return Ok(true);
        }
    }
    Ok(false)
}
