//! `recv` and `recvfrom`.

use std::ffi::{c_int, c_void};
use std::mem::MaybeUninit;

use libc::{sockaddr, sockaddr_storage, socklen_t, ssize_t};

use crate::address;
use crate::blocking;
use crate::calls::{call, may_call};
use crate::code::Code;
use crate::last_error;
use crate::monitor;
use crate::socket;
use crate::user_memory;

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
    // SAFETY: the caller vouches for the buffer.
    last_error::or_socket_error(unsafe {
        receive(socket, buffer, length, flags, from, from_length)
    })
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
    // SAFETY: the caller vouches for the pointers.
    last_error::or_socket_error(unsafe {
        receive(socket, buffer, length, flags, from, from_length)
    })
}

/// # Safety
///
/// As of recvfrom(2).
unsafe fn receive(
    socket: c_int,
    buffer: *mut c_void,
    length: usize,
    flags: c_int,
    from: *mut sockaddr,
    from_length: *mut socklen_t,
) -> Result<ssize_t, Code> {
    may_call()?;
    address::check_room(socket, from, from_length)?;
    let mut vector = libc::iovec {
        iov_base: buffer,
        iov_len: length,
    };
    let mut name = MaybeUninit::<sockaddr_storage>::zeroed();
    // SAFETY: all of it are integers and pointers, for which zeros will do.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = &raw mut vector;
    message.msg_iovlen = 1;
    loop {
        message.msg_name = name.as_mut_ptr().cast();
        message.msg_namelen = size_of::<sockaddr_storage>() as socklen_t;
        // SAFETY: the message describes `name` and the buffer, for which the caller vouches.
        match call(|| unsafe { libc::recvmsg(socket, &raw mut message, flags) }) {
            Err(Code::CONNREFUSED) if !socket::is_stream(socket) => {
                if reports_resets(socket) {
                    return Err(Code::CONNRESET);
                }
            }
            Err(code) => return Err(blocking::timed_out(socket, flags, code)),
            Ok(received) => {
                // SAFETY: all fields are integers, and it began as zeros.
                let name = unsafe { name.assume_init() };
                tell(&name, message.msg_namelen, from, from_length)?;
                let cut = message.msg_flags & libc::MSG_TRUNC != 0 && flags & libc::MSG_TRUNC == 0;
                return match cut {
                    true => Err(Code::MSGSIZE),
                    false => Ok(received),
                };
            }
        }
    }
}

/// Tells who sent it. On a stream nobody is told.
fn tell(
    name: &sockaddr_storage,
    length: socklen_t,
    from: *mut sockaddr,
    from_length: *mut socklen_t,
) -> Result<(), Code> {
    if from.is_null() || from_length.is_null() {
        return Ok(());
    }
    let room = user_memory::read(from_length)?;
    user_memory::write(from_length, length)?;
    // SAFETY: the bytes of `name`.
    let bytes = unsafe {
        std::slice::from_raw_parts(
            (&raw const *name).cast::<u8>(),
            room.min(length)
                .min(size_of::<sockaddr_storage>() as socklen_t) as usize,
        )
    };
    for (index, &byte) in bytes.iter().enumerate() {
        user_memory::write(from.cast::<u8>().wrapping_add(index), byte)?;
    }
    Ok(())
}

/// What `SIO_UDP_CONNRESET` has set.
fn reports_resets(socket: c_int) -> bool {
    let mut world = monitor::lock();
    match socket::look_up(&mut world, socket as usize) {
        Ok(handle) => world.sockets.get(handle).is_none_or(|it| it.reports_resets),
        Err(_) => true,
    }
}
