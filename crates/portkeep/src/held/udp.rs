//! Letting an owner's UDP socket bind.
//!
//! A UDP socket loses its device by `connect(2)` to `AF_UNSPEC`, which checks nothing
//! (`__udp_disconnect()` in `net/ipv4/udp.c`).

use std::ffi::c_int;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd as _, BorrowedFd};

use crate::held::device;
use crate::held::flag::{self, Set};
use crate::held::holder::{Locked, Note};
use crate::held::users::OneUser;
use crate::sys;

/// Binds an owner's socket to the port that `holder` holds.
pub(super) fn bind(
    holder: &Locked<'_>,
    socket: BorrowedFd<'_>,
    address: SocketAddr,
) -> io::Result<()> {
    let holder_has_device = take_back(holder.socket, address.port())?;
    if flag::is_set(socket, libc::SO_REUSEPORT)? {
        holder.note(Note::Shared, true)?;
        return bind_one_that_shares(holder, socket, address);
    }
    // An IPv6 socket that shares goes behind all others, the holder, too: that would get its datagrams
    // and hide it from the check of the owner's next one. And one that shares for a moment would
    // share with those of the owner that do for good.
    let family = device::family(socket)?;
    if family == libc::AF_INET
        && !holder.is_noted(Note::Shared)?
        && !holder_has_device
        && let Some(_one) = OneUser::of(holder, socket, false)?
    {
        return bind_sharing(holder.socket, socket, family, address);
    }
    bind_beside(holder.socket, socket, family, address)
}

fn has_device(socket: BorrowedFd<'_>) -> io::Result<bool> {
    Ok(device::get(socket)? != device::NONE)
}

/// A device for a socket while it binds.
struct Device<'a>(Option<BorrowedFd<'a>>);

impl<'a> Device<'a> {
    /// None for a socket that has one: it would lose that, too. A link-local address brings one along.
    fn of_owner(
        socket: BorrowedFd<'a>,
        family: c_int,
        address: SocketAddr,
    ) -> io::Result<Device<'a>> {
        if has_device(socket)? || device::is_named_by(address.ip()) {
            return Ok(Device(None));
        }
        device::set(socket, device::for_bind(family, address.ip())?)?;
        Ok(Device(Some(socket)))
    }

    fn of_holder(socket: BorrowedFd<'a>) -> io::Result<Device<'a>> {
        if has_device(socket)? {
            return Ok(Device(None));
        }
        device::set(socket, device::HOLDERS)?;
        Ok(Device(Some(socket)))
    }

    fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for Device<'_> {
    fn drop(&mut self) {
        if let Some(socket) = self.0 {
            // Of a UDP socket the call cannot fail.
            let _ = sys::disconnect(socket);
        }
    }
}

/// Holder and socket share while it binds, and have different devices, lest the holder get part of the
/// datagrams (`udp_reuseport_add_sock()` in `net/ipv4/udp.c`).
fn bind_sharing(
    holder: BorrowedFd<'_>,
    socket: BorrowedFd<'_>,
    family: c_int,
    address: SocketAddr,
) -> io::Result<()> {
    let _shares = Set::unset_before(socket, libc::SO_REUSEPORT)?;
    let _device = Device::of_owner(socket, family, address)?;
    let _open = Set::unset_before(holder, libc::SO_REUSEPORT)?;
    sys::bind(socket, address)
}

/// Holder and socket have different devices while it binds. Other sockets with devices pass meanwhile.
fn bind_beside(
    holder: BorrowedFd<'_>,
    socket: BorrowedFd<'_>,
    family: c_int,
    address: SocketAddr,
) -> io::Result<()> {
    let _device = Device::of_owner(socket, family, address)?;
    let _open = Device::of_holder(holder)?;
    sys::bind(socket, address)
}

/// Binds a socket that is to share the port with others of the owner, and so must have no device but
/// its own.
fn bind_one_that_shares(
    holder: &Locked<'_>,
    socket: BorrowedFd<'_>,
    address: SocketAddr,
) -> io::Result<()> {
    let Some(_one) = OneUser::of(holder, socket, true)? else {
        return Err(io::Error::from_raw_os_error(libc::EADDRINUSE));
    };
    let holder = holder.socket;
    // At all addresses, as the holder is, it would share datagrams with it, or come behind it. So the
    // holder has a device until `take_back`.
    let device = match alike(holder, socket, address)? {
        true => Some(Device::of_holder(holder)?),
        false => None,
    };
    let _open = Set::unset_before(holder, libc::SO_REUSEPORT)?;
    sys::bind(socket, address)?;
    if let Some(device) = device {
        device.keep();
    }
    Ok(())
}

/// Whether the kernel would take the two for sockets of one group.
fn alike(holder: BorrowedFd<'_>, socket: BorrowedFd<'_>, address: SocketAddr) -> io::Result<bool> {
    Ok(address.ip().is_unspecified()
        && !has_device(socket)?
        && device::family(socket)? == device::family(holder)?)
}

/// Takes the holder's device away again, once the owner has no socket at the port: one that is at all
/// addresses, and thus in the way of any, tells. It holds the port meanwhile. Gives whether the holder
/// still has a device.
pub(super) fn take_back(holder: BorrowedFd<'_>, port: u16) -> io::Result<bool> {
    if !has_device(holder)? {
        return Ok(false);
    }
    let family = device::family(holder)?;
    let probe = sys::socket(family, libc::SOCK_DGRAM, libc::IPPROTO_UDP)?;
    let address = match family {
        libc::AF_INET6 => {
            sys::set_option(probe.as_fd(), libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, &0)?;
            SocketAddr::from((Ipv6Addr::UNSPECIFIED, port))
        }
        _ => SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)),
    };
    sys::receive_nothing(probe.as_fd())?;
    device::set(probe.as_fd(), device::PROBES)?;
    match sys::bind(probe.as_fd(), address) {
        Ok(()) => {
            sys::disconnect(probe.as_fd())?;
            sys::disconnect(holder)?;
            Ok(false)
        }
        Err(error) if error.raw_os_error() == Some(libc::EADDRINUSE) => Ok(true),
        Err(error) => Err(error),
    }
}
