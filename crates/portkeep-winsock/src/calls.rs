//! The calls of the C library that fail as Winsock's do.
//!
//! The arguments are those of the system calls of these names, and their constants Linux'.

use std::ffi::c_int;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use libc::{sockaddr, socklen_t};
use portkeep::{Conflict, ConflictKind, sockopt};

use crate::address::{self, Address};
use crate::blocking;
use crate::code::Code;
use crate::held;
use crate::implicit;
use crate::kernel_wait;
use crate::last_error;
use crate::monitor;
use crate::socket::{self, Handle};
use crate::startup;

/// Fails where Winsock refuses every call.
pub(crate) fn may_call() -> Result<(), Code> {
    blocking::check_call()?;
    startup::check()
}

/// Makes a system call unless Winsock refuses it, and turns its -1 into the code.
pub(crate) fn call<T: PartialOrd + From<i8>>(system_call: impl FnOnce() -> T) -> Result<T, Code> {
    may_call()?;
    let result = system_call();
    match result < T::from(0) {
        true => Err(Code::last_os_error()),
        false => Ok(result),
    }
}

/// `shutdown`
#[unsafe(no_mangle)]
pub extern "C" fn portkeep_winsock_shutdown(socket: c_int, how: c_int) -> c_int {
    // SAFETY: shutdown(2) takes no pointers.
    last_error::or_socket_error(call(|| unsafe { libc::shutdown(socket, how) }))
}

/// `getpeername`: `WSAEFAULT` for too little room.
///
/// # Safety
///
/// As of getpeername(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn portkeep_winsock_getpeername(
    socket: c_int,
    address: *mut sockaddr,
    length: *mut socklen_t,
) -> c_int {
    let name = || {
        may_call()?;
        address::check_room(socket, address, length)?;
        // SAFETY: the caller vouches for the pointers.
        call(|| unsafe { libc::getpeername(socket, address, length) })
    };
    last_error::or_socket_error(name())
}

/// `getsockname`: `WSAEINVAL` for a socket that is not bound, `WSAEFAULT` for too little room.
///
/// # Safety
///
/// As of getsockname(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn portkeep_winsock_getsockname(
    socket: c_int,
    address: *mut sockaddr,
    length: *mut socklen_t,
) -> c_int {
    let name = || {
        may_call()?;
        if address::unbound_name(socket).is_some() {
            return Err(Code::INVAL);
        }
        address::check_room(socket, address, length)?;
        // SAFETY: the caller vouches for the pointers.
        call(|| unsafe { libc::getsockname(socket, address, length) })
    };
    last_error::or_socket_error(name())
}

fn look_up(socket: c_int) -> Result<Handle, Code> {
    let mut world = monitor::lock();
    startup::check()?;
    // -1 is no descriptor, whatever the width of the number.
    socket::look_up(&mut world, socket as usize)
}

/// `connect`: on a socket that does not block `WSAEWOULDBLOCK` while it goes on. An associated socket
/// that is not bound gets a port of its block.
///
/// # Safety
///
/// As of connect(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn portkeep_winsock_connect(
    socket: c_int,
    address: *const sockaddr,
    length: socklen_t,
) -> c_int {
    let connect = || {
        may_call()?;
        let address = Address::of_peer(address, length)?;
        let (address, length) = address.parts();
        implicit::before_connect(socket, address, length)?;
        // SAFETY: the caller vouches for the address.
        let connect = || call(|| unsafe { libc::connect(socket, address, length) });
        // Connected although it was closed meanwhile is not connected.
        kernel_wait::at_one(socket, connect, |_| false)
            .map_err(|code| blocking::timed_out(socket, 0, code))
            .map_err(|code| match code {
                Code::INPROGRESS => Code::WOULDBLOCK,
                code => code,
            })
    };
    last_error::or_socket_error(connect())
}

/// `listen`: an associated socket that is not bound gets a port of its block.
#[unsafe(no_mangle)]
pub extern "C" fn portkeep_winsock_listen(socket: c_int, backlog: c_int) -> c_int {
    let listen = || {
        may_call()?;
        implicit::before_listen(socket)?;
        held::listen(look_up(socket)?, backlog).unwrap_or_else(|| {
            // SAFETY: listen(2) takes no pointers.
            call(|| unsafe { libc::listen(socket, backlog) })
        })
    };
    last_error::or_socket_error(listen())
}

/// `bind`: `WSAEACCES` for a port in a reserved block that is not the caller's, `WSAEADDRINUSE` for
/// one that a socket is bound to.
///
/// # Safety
///
/// As of bind(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn portkeep_winsock_bind(
    socket: c_int,
    address: *const sockaddr,
    length: socklen_t,
) -> c_int {
    let make = || {
        blocking::check_call()?;
        let handle = look_up(socket)?;
        let address = Address::of_bind(socket, address, length)?;
        if address::is_bound(socket) {
            return Err(Code::INVAL);
        }
        let (address, length) = address.parts();
        // SAFETY: the caller vouches for the address.
        let bind = |socket| unsafe { libc::bind(socket, address, length) };
        held::bind(handle, address, length).unwrap_or_else(|| {
            call(|| bind(socket)).map_err(|code| match code {
                Code::ADDRINUSE
                    if is_refused_reuse(handle.as_fd())
                        || is_reserved(handle.as_fd(), bind)
                        || held::holds(handle.as_fd(), address, length) == Ok(true) =>
                {
                    Code::ACCES
                }
                code => code,
            })
        })
    };
    last_error::or_socket_error(make())
}

/// Windows' word for a socket that would share a port which the sockets there do not share. An
/// associated one is told of its block.
fn is_refused_reuse(socket: BorrowedFd<'_>) -> bool {
    let associated = sockopt::associated(socket).is_ok_and(|token| token.is_some());
    !associated && socket::option(socket, libc::SO_REUSEADDR).is_ok_and(|reuses| reuses != 0)
}

/// Whether a reservation is what refused a bind.
///
/// The socket's record may be about an earlier refusal, since Linux' own refusals leave it alone.
/// So another socket that has no record yet tries the same.
fn is_reserved(socket: BorrowedFd<'_>, bind: impl FnOnce(c_int) -> c_int) -> bool {
    // An associated socket is refused other reserved ports in other words.
    let associated = sockopt::associated(socket).is_ok_and(|token| token.is_some());
    if associated || !is_about_reservation(sockopt::conflict(socket)) {
        return false;
    }
    match another(socket) {
        Some(fresh) => {
            bind(fresh.as_raw_fd());
            is_about_reservation(sockopt::conflict(fresh.as_fd()))
        }
        None => true,
    }
}

fn is_about_reservation(conflict: Option<Conflict>) -> bool {
    conflict.is_some_and(|conflict| conflict.kind == ConflictKind::Reserved)
}

/// A new socket of the same family, type and protocol.
fn another(socket: BorrowedFd<'_>) -> Option<OwnedFd> {
    let ask = |option| socket::option(socket, option).ok();
    let family = ask(libc::SO_DOMAIN)?;
    let kind = ask(libc::SO_TYPE)? | libc::SOCK_CLOEXEC;
    let protocol = ask(libc::SO_PROTOCOL)?;
    // SAFETY: socket(2) takes no pointers.
    let descriptor = unsafe { libc::socket(family, kind, protocol) };
    // SAFETY: a new descriptor, nobody else's.
    (descriptor >= 0).then(|| unsafe { OwnedFd::from_raw_fd(descriptor) })
}
