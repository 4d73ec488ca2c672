//! Letting an owner's UDP socket bind: it has a device of its own meanwhile.

use std::io;
use std::net::SocketAddr;
use std::os::fd::BorrowedFd;

use crate::held::device;
use crate::held::flag::{self, Set};
use crate::sys;

/// Binds an owner's socket to the port that `holder` holds.
pub(super) fn bind(
    holder: BorrowedFd<'_>,
    socket: BorrowedFd<'_>,
    address: SocketAddr,
) -> io::Result<()> {
    // A socket with a device is beside the holder anyhow; a link-local address brings one along.
    if device::get(socket)? != device::NONE || device::is_named_by(address.ip()) {
        return sys::bind(socket, address);
    }
    // A socket that shares is put into the group of those with its device, so it must have the one
    // that it will keep (`udp_reuseport_add_sock()` in `net/ipv4/udp.c`).
    if flag::is_set(socket, libc::SO_REUSEPORT)? {
        let _open = Set::new(holder, libc::SO_REUSEPORT)?;
        return sys::bind(socket, address);
    }
    device::set(socket, device::for_bind(socket, address.ip())?)?;
    let bound = sys::bind(socket, address);
    // Takes the device away and checks nothing (`__udp_disconnect()` in `net/ipv4/udp.c`).
    sys::disconnect(socket)?;
    bound
}
