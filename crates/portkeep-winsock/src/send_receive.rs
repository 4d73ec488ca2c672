//! `send`, `sendto`, `recv` and `recvfrom`: as `WSASend` and its siblings, with one buffer.
//!
//! The flags are Linux'.

use std::ffi::{c_int, c_void};

use libc::{sockaddr, socklen_t, ssize_t};

use crate::address;
use crate::calls::may_call;
use crate::code::Code;
use crate::implicit;
use crate::last_error;
use crate::message::{self, Message, Peer};
use crate::status::Status;

/// `send`: no signal comes when the peer is gone. An associated datagram socket that is not bound gets
/// a port of its block, although it has nobody to send to: Linux would give it any port.
///
/// # Safety
///
/// As of send(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn portkeep_winsock_send(
    socket: c_int,
    buffer: *const c_void,
    length: usize,
    flags: c_int,
) -> ssize_t {
    last_error::or_socket_error(send(socket, buffer, length, flags, std::ptr::null(), 0))
}

/// `sendto`: no signal comes when the peer is gone. An associated socket that is not bound gets a port
/// of its block.
///
/// # Safety
///
/// As of sendto(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn portkeep_winsock_sendto(
    socket: c_int,
    buffer: *const c_void,
    length: usize,
    flags: c_int,
    to: *const sockaddr,
    to_length: socklen_t,
) -> ssize_t {
    last_error::or_socket_error(send(socket, buffer, length, flags, to, to_length))
}

fn send(
    socket: c_int,
    buffer: *const c_void,
    length: usize,
    flags: c_int,
    to: *const sockaddr,
    to_length: socklen_t,
) -> Result<ssize_t, Code> {
    may_call()?;
    let to = message::read_address(to.cast(), to_length.cast_signed())?;
    let peer = Peer::To(Box::new(to));
    let mut message = Message::of_one(socket, buffer.cast_mut(), length, flags, peer)?;
    implicit::before_send(socket, flags)?;
    Ok(message.make(socket)?.bytes as ssize_t)
}

/// `recv`: `WSAEMSGSIZE` for a datagram that is longer than the buffer, which has its beginning.
///
/// # Safety
///
/// As of recv(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn portkeep_winsock_recv(
    socket: c_int,
    buffer: *mut c_void,
    length: usize,
    flags: c_int,
) -> ssize_t {
    let (from, from_length) = (std::ptr::null_mut(), std::ptr::null_mut());
    last_error::or_socket_error(receive(socket, buffer, length, flags, from, from_length))
}

/// `recvfrom`: as `recv`.
///
/// # Safety
///
/// As of recvfrom(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn portkeep_winsock_recvfrom(
    socket: c_int,
    buffer: *mut c_void,
    length: usize,
    flags: c_int,
    from: *mut sockaddr,
    from_length: *mut socklen_t,
) -> ssize_t {
    last_error::or_socket_error(receive(socket, buffer, length, flags, from, from_length))
}

fn receive(
    socket: c_int,
    buffer: *mut c_void,
    length: usize,
    flags: c_int,
    from: *mut sockaddr,
    from_length: *mut socklen_t,
) -> Result<ssize_t, Code> {
    may_call()?;
    address::check_room(socket, from, from_length)?;
    let peer = Peer::From {
        // Without a length there is no room.
        address: match from_length.is_null() {
            true => std::ptr::null_mut(),
            false => from.cast(),
        },
        length: from_length.cast(),
    };
    let mut message = Message::of_one(socket, buffer, length, flags, peer)?;
    let outcome = message.make(socket)?;
    // With MSG_TRUNC the program asks how long it is.
    match outcome.status == Status::BUFFER_OVERFLOW && flags & libc::MSG_TRUNC == 0 {
        true => Err(Code::MSGSIZE),
        false => Ok(outcome.bytes as ssize_t),
    }
}
