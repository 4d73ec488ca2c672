//! Letting an owner's TCP socket bind, and listen, which the kernel checks for conflicts once more.

use std::ffi::c_int;
use std::io;
use std::net::SocketAddr;
use std::os::fd::BorrowedFd;
use std::thread;

use crate::held::device;
use crate::held::flag::{self, Set};
use crate::held::holder::{Locked, Note};
use crate::held::memory::{self, Family, Guard};
use crate::held::users::OneUser;
use crate::sys;

/// Binds an owner's socket to the port that `holder` holds.
pub(super) fn bind(
    holder: &Locked<'_>,
    socket: BorrowedFd<'_>,
    address: SocketAddr,
) -> io::Result<()> {
    let_in(holder, socket, address, || sys::bind(socket, address))
}

/// Listens on an owner's socket that is bound to the port.
pub(super) fn listen(
    holder: &Locked<'_>,
    socket: BorrowedFd<'_>,
    backlog: c_int,
) -> io::Result<()> {
    // Only the length of its queue changes; the kernel checks nothing.
    if flag::is_set(socket, libc::SO_ACCEPTCONN)? {
        return sys::listen(socket, backlog);
    }
    let address = sys::local_address(socket)?;
    let_in(holder, socket, address, || sys::listen(socket, backlog))
}

/// Makes a call while holder and socket have `SO_REUSEPORT`, for which sockets of the same user pass.
fn let_in(
    holder: &Locked<'_>,
    socket: BorrowedFd<'_>,
    address: SocketAddr,
    call: impl Fn() -> io::Result<()>,
) -> io::Result<()> {
    let shares = flag::is_set(socket, libc::SO_REUSEPORT)?;
    let Some(one) = OneUser::of(holder, socket, shares)? else {
        // A command that has become another user shares with nobody.
        return Err(io::Error::from_raw_os_error(libc::EADDRINUSE));
    };
    if one.is_spare() {
        // Nobody is like it, now or later.
        let _shares = Set::unset_before(socket, libc::SO_REUSEPORT)?;
        let _open = Set::unset_before(holder.socket, libc::SO_REUSEPORT)?;
        let result = call();
        one.remembered(holder, &result);
        return result;
    }
    Sharing {
        holder,
        socket,
        address,
        one,
    }
    .make(call)
}

/// How often to retry an operation that another socket of the owner's user can disturb.
const TRIES: u32 = 8;

struct Sharing<'a> {
    holder: &'a Locked<'a>,
    socket: BorrowedFd<'a>,
    address: SocketAddr,
    one: OneUser<'a>,
}

impl Sharing<'_> {
    fn make(self, call: impl Fn() -> io::Result<()>) -> io::Result<()> {
        let open = self.holder.is_noted(Note::Open)?;
        let everywhere = is_everywhere(self.socket, self.address)?;
        let mut family = self.family_of_last(everywhere);
        // Before it is opened, to have it open for less. It cannot be made without IPv6.
        let mut last = Guard::last(&self.one, family, self.address);
        let first = match everywhere || open || memory::is_unused(self.address) {
            true => self.first()?,
            false => Vec::new(),
        };
        let halves = match everywhere {
            true => Some(self.halves()?),
            false => None,
        };
        let shares = Set::new(self.socket, libc::SO_REUSEPORT)?;
        // A whole slice of time ahead: to be interrupted now would leave the way open.
        thread::yield_now();
        let way = Set::unset_before(self.holder.socket, libc::SO_REUSEPORT)?;
        let remembered = first.iter().map(Guard::bind).fold(Ok(()), Result::and);
        let prepared = remembered.and_then(|()| {
            let Some([v4, v6]) = &halves else {
                return Ok(());
            };
            v4.bind()?;
            v6.bind().inspect_err(|_| {
                family = Family::V6;
                last = Guard::last(&self.one, family, self.address);
            })
        });
        let result = match prepared {
            Err(error) if everywhere && error.raw_os_error() == Some(libc::EADDRINUSE) => {
                Err(error)
            }
            _ => call(),
        };
        let followed = last.and_then(|last| last.bind());
        drop((way, shares));
        // It fails where the owner is at all addresses of both families.
        let closed = followed.is_ok() && self.is_closed(family);
        self.holder.note(Note::Open, !closed)?;
        result
    }

    /// Whether nobody else passes, now that the holder does not share any more. Otherwise a socket got in
    /// after the last guard, and the holder makes the kernel forget it.
    fn is_closed(&self, family: Family) -> bool {
        let is_last = || memory::is_last(&self.one, family, self.address).unwrap_or(false);
        is_last()
            || (0..TRIES).any(|_| memory::clear(self.holder.socket, self.address).unwrap_or(false))
    }

    /// Where the last guard is: of the other family where the socket is at all addresses of one. Else of
    /// its own: whatever other socket of the owner is in the way there is in the socket's way too.
    fn family_of_last(&self, everywhere: bool) -> Family {
        let ip = self.address.ip().to_canonical();
        match everywhere || ip.is_ipv4() != ip.is_unspecified() {
            true => Family::V4,
            false => Family::V6,
        }
    }

    /// What is checked against the owner's sockets that are at all addresses of a family, and remembered
    /// in place of the last guard.
    fn first(&self) -> io::Result<Vec<Guard>> {
        [Family::V6, Family::V4]
            .into_iter()
            .map(|family| Guard::other(&self.one, family, self.address))
            .filter(|guard| !matches!(guard, Err(error) if is_without_family(error)))
            .collect()
    }

    /// Prepares the way for a socket that is to be everywhere. Were it the one that the kernel remembers,
    /// every other would be like it, and nothing could take its place. So one that is at all IPv6 addresses
    /// goes before it: it is like that one, and those of IPv4 are not.
    ///
    /// As it goes unchecked then, these two are checked against other sockets of the owner.
    fn halves(&self) -> io::Result<[Guard; 2]> {
        let reuses = flag::is_set(self.socket, libc::SO_REUSEADDR)?;
        let half = |family| {
            let half = Guard::at_all(&self.one, family, self.address.port())?;
            if reuses {
                flag::set(half.socket(), libc::SO_REUSEADDR)?;
            }
            Ok::<_, io::Error>(half)
        };
        Ok([half(Family::V4)?, half(Family::V6)?])
    }
}

/// Where there is no IPv6.
fn is_without_family(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::EAFNOSUPPORT)
}

/// Whether a socket is at all addresses of both families, or is to be.
fn is_everywhere(socket: BorrowedFd<'_>, address: SocketAddr) -> io::Result<bool> {
    let only_v6 = || sys::get_option::<c_int>(socket, libc::IPPROTO_IPV6, libc::IPV6_V6ONLY);
    Ok(device::family(socket)? == libc::AF_INET6
        && address.ip().is_unspecified()
        && only_v6()? == 0)
}
