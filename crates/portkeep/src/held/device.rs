//! The device a socket is bound to, by index (`SO_BINDTOIFINDEX`, Linux 5.1).

use std::ffi::c_int;
use std::io;
use std::net::IpAddr;
use std::os::fd::BorrowedFd;

use crate::sys;

/// Of holders while they make way. Indices of devices count from 1, so none of these belongs to one.
pub(super) const HOLDERS: i32 = i32::MAX - 1;
/// Of owners' sockets while they bind.
pub(super) const OWNERS: i32 = i32::MAX - 2;
/// Of sockets that find out whether anybody is at a port.
pub(super) const PROBES: i32 = i32::MAX - 3;
/// None.
pub(super) const NONE: i32 = 0;

pub(super) fn get(socket: BorrowedFd<'_>) -> io::Result<i32> {
    sys::get_option(socket, libc::SOL_SOCKET, libc::SO_BINDTOIFINDEX)
}

/// Everybody may set the device of a socket that has none; the rest takes `CAP_NET_RAW` over its
/// network namespace (`sock_bindtoindex_locked()` in `net/core/sock.c`, Linux 5.7).
pub(super) fn set(socket: BorrowedFd<'_>, index: i32) -> io::Result<()> {
    sys::set_option(socket, libc::SOL_SOCKET, libc::SO_BINDTOIFINDEX, &index)
}

/// The family of a socket's addresses.
pub(super) fn family(socket: BorrowedFd<'_>) -> io::Result<c_int> {
    sys::get_option(socket, libc::SOL_SOCKET, libc::SO_DOMAIN)
}

/// Whether an address brings the device along, by the scope id: `fe80::/10`, `ff01::` and `ff02::`
/// with any flags.
pub(super) fn is_named_by(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(_) => false,
        IpAddr::V6(address) => {
            let first = address.segments()[0];
            first & 0xffc0 == 0xfe80 || matches!(first & 0xff0f, 0xff01 | 0xff02)
        }
    }
}

/// A device other than a holder's with which a socket of a family can bind to an address.
///
/// Only an IPv6 socket that binds to one address needs one that exists and has the address
/// (`__inet6_bind()` in `net/ipv6/af_inet6.c`).
pub(super) fn for_bind(family: c_int, address: IpAddr) -> io::Result<i32> {
    let canonical = address.to_canonical();
    if family == libc::AF_INET || canonical.is_unspecified() && canonical == address {
        return Ok(OWNERS);
    }
    if canonical.is_loopback() || canonical.is_unspecified() {
        return Ok(loopback());
    }
    // What is of no device is a multicast address, or bound to with IPV6_FREEBIND.
    Ok(sys::interface_of(canonical)?.unwrap_or_else(loopback))
}

/// The device that every network namespace has.
fn loopback() -> i32 {
    sys::interface_index(c"lo").unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

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
            assert_eq!(is_named_by(address), scoped, "{address}");
        }
    }
}
