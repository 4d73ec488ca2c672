//! Socket addresses as Windows takes them: their lengths, and 23 for `AF_INET6`.

use std::ffi::c_int;
use std::mem::MaybeUninit;
use std::os::fd::BorrowedFd;

use libc::{sa_family_t, sockaddr, sockaddr_in, sockaddr_in6, sockaddr_storage, socklen_t};

use crate::code::Code;
use crate::create::WINDOWS_AF_INET6;
use crate::socket;
use crate::user_memory;

/// How long the address of an IPv4 or IPv6 socket is; `None` of another family.
fn length_of(family: c_int) -> Option<usize> {
    match family {
        libc::AF_INET => Some(size_of::<sockaddr_in>()),
        libc::AF_INET6 => Some(size_of::<sockaddr_in6>()),
        _ => None,
    }
}

/// Refuses a length that is too short for an address of a family.
pub(crate) fn check_length(family: c_int, length: usize) -> Result<(), Code> {
    let needed = match family {
        WINDOWS_AF_INET6 => length_of(libc::AF_INET6),
        family => length_of(family),
    };
    match needed.is_some_and(|needed| length < needed) {
        true => Err(Code::FAULT),
        false => Ok(()),
    }
}

/// The family of a socket, if it is IPv4 or IPv6.
fn internet_family(socket: c_int) -> Option<c_int> {
    if socket < 0 {
        return None;
    }
    // SAFETY: the program's descriptor, for the time of its call.
    let socket = unsafe { BorrowedFd::borrow_raw(socket) };
    let family = socket::option(socket, libc::SO_DOMAIN).ok()?;
    length_of(family).map(|_| family)
}

/// An address that a call takes, for Linux.
pub(crate) struct Address {
    given: (*const sockaddr, socklen_t),
    own: Option<sockaddr_in6>,
}

impl Address {
    /// The address and its length, as the system calls take them.
    pub(crate) fn parts(&self) -> (*const sockaddr, socklen_t) {
        match &self.own {
            Some(own) => (
                (&raw const *own).cast(),
                size_of::<sockaddr_in6>() as socklen_t,
            ),
            None => self.given,
        }
    }

    /// The address of a peer: `WSAEFAULT` if it is too short for its family. What else is wrong with it
    /// Linux says.
    pub(crate) fn of_peer(address: *const sockaddr, length: socklen_t) -> Result<Address, Code> {
        let mut taken = Address {
            given: (address, length),
            own: None,
        };
        if address.is_null() || (length as usize) < size_of::<sa_family_t>() {
            return Ok(taken);
        }
        let family = c_int::from(user_memory::read(address.cast::<sa_family_t>())?);
        check_length(family, length as usize)?;
        if family == WINDOWS_AF_INET6 {
            let mut own = user_memory::read(address.cast::<sockaddr_in6>())?;
            own.sin6_family = libc::AF_INET6 as sa_family_t;
            taken.own = Some(own);
        }
        Ok(taken)
    }

    /// The address to bind a socket to: also `WSAEFAULT` if it is of the other family than the socket,
    /// and `WSAEAFNOSUPPORT` if it is of neither.
    pub(crate) fn of_bind(
        socket: c_int,
        address: *const sockaddr,
        length: socklen_t,
    ) -> Result<Address, Code> {
        let Some(family) = internet_family(socket) else {
            return Address::of_peer(address, length);
        };
        if (length as usize) < size_of::<sa_family_t>() {
            return Err(Code::FAULT);
        }
        match c_int::from(user_memory::read(address.cast::<sa_family_t>())?) {
            libc::AF_INET if family == libc::AF_INET => {}
            libc::AF_INET6 | WINDOWS_AF_INET6 if family == libc::AF_INET6 => {}
            libc::AF_INET | libc::AF_INET6 | WINDOWS_AF_INET6 => return Err(Code::FAULT),
            _ => return Err(Code::AFNOSUPPORT),
        }
        Address::of_peer(address, length)
    }
}

/// Refuses room that is too small for an address of the socket, where Linux would cut the address off.
pub(crate) fn check_room(
    socket: c_int,
    address: *const sockaddr,
    length: *const socklen_t,
) -> Result<(), Code> {
    let needed = match internet_family(socket).and_then(length_of) {
        Some(needed) if !address.is_null() => needed,
        _ => return Ok(()),
    };
    // On Windows it is an int, and may be negative.
    match usize::try_from(user_memory::read(length)?.cast_signed()).unwrap_or(0) < needed {
        true => Err(Code::FAULT),
        false => Ok(()),
    }
}

/// The address of an IPv4 or IPv6 socket that has no port yet, as bind(2) takes it.
pub(crate) fn unbound_name(socket: c_int) -> Option<(sockaddr_storage, socklen_t)> {
    name(socket).filter(|(name, _)| {
        const _: () = assert!(
            std::mem::offset_of!(sockaddr_in, sin_port)
                == std::mem::offset_of!(sockaddr_in6, sin6_port)
        );
        // SAFETY: it is longer than the address of either family, which have the port at the same place.
        unsafe { (&raw const *name).cast::<sockaddr_in>().read() }.sin_port == 0
    })
}

/// Whether a socket is an IPv4 or IPv6 one with a port.
pub(crate) fn is_bound(socket: c_int) -> bool {
    name(socket).is_some() && unbound_name(socket).is_none()
}

/// The address of an IPv4 or IPv6 socket.
fn name(socket: c_int) -> Option<(sockaddr_storage, socklen_t)> {
    let mut name = MaybeUninit::<sockaddr_storage>::zeroed();
    let mut length = size_of::<sockaddr_storage>() as socklen_t;
    // SAFETY: the pointer and the length describe `name`.
    let result = unsafe { libc::getsockname(socket, name.as_mut_ptr().cast(), &raw mut length) };
    // SAFETY: all fields are integers, and it began as zeros.
    let name = unsafe { name.assume_init() };
    let is_internet = length_of(c_int::from(name.ss_family)).is_some();
    (result == 0 && is_internet).then_some((name, length))
}
