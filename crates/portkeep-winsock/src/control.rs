//! `ioctlsocket`.

use std::ffi::c_int;

use crate::calls::{call, may_call};
use crate::code::Code;
use crate::last_error;
use crate::monitor;
use crate::socket;
use crate::user_memory;

/// Sets whether the socket does not block.
pub(crate) const FIONBIO: u32 = 0x8004_667E;
/// Tells how many bytes can be read.
pub(crate) const FIONREAD: u32 = 0x4004_667F;

pub(crate) fn set_nonblocking(socket: c_int, on: bool) -> Result<(), Code> {
    let mut number = c_int::from(on);
    // SAFETY: the request takes the address of an int.
    call(|| unsafe { libc::ioctl(socket, libc::FIONBIO, &raw mut number) }).map(drop)
}

pub(crate) fn readable_bytes(socket: c_int) -> Result<u32, Code> {
    let mut number: c_int = 0;
    // SAFETY: the request takes the address of an int.
    call(|| unsafe { libc::ioctl(socket, libc::FIONREAD, &raw mut number) })?;
    Ok(number.unsigned_abs())
}

/// `ioctlsocket`: `FIONBIO` sets whether the socket does not block, `FIONREAD` tells how many bytes
/// can be read. Another command is `WSAEOPNOTSUPP`.
///
/// A `u_long` of Windows has 32 bits.
#[unsafe(no_mangle)]
pub extern "C" fn ioctlsocket(socket: usize, command: i32, argument: *mut u32) -> c_int {
    let control = || {
        may_call()?;
        let descriptor = {
            let mut world = monitor::lock();
            socket::look_up(&mut world, socket)?.descriptor
        };
        match command.cast_unsigned() {
            FIONBIO => set_nonblocking(descriptor, user_memory::read(argument)? != 0)?,
            FIONREAD => {
                user_memory::check_writable(argument.cast(), size_of::<u32>())?;
                user_memory::write(argument, readable_bytes(descriptor)?)?;
            }
            _ => return Err(Code::OPNOTSUPP),
        }
        Ok(0)
    };
    last_error::or_socket_error(control())
}
