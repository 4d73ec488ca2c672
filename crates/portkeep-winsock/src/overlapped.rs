//! `WSAOVERLAPPED`, and the outcome of an operation that it tells.

use std::ffi::c_int;
use std::mem::offset_of;

use crate::code::Code;
use crate::last_error::{self, true_or_last_error};
use crate::monitor::{self, Deadline, Guard};
use crate::notice::Outcome;
use crate::socket;
use crate::startup;
use crate::status::Status;
use crate::user_memory;

/// `WSAOVERLAPPED`, which is `OVERLAPPED`: 32 bytes, 20 on 32-bit.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Overlapped {
    /// `Internal`: the NTSTATUS of the operation.
    pub internal: usize,
    /// `InternalHigh`: the bytes transferred.
    pub internal_high: usize,
    /// `Offset`, of files; of what was received the flags.
    pub offset: u32,
    /// `OffsetHigh`, of files.
    pub offset_high: u32,
    /// `hEvent`: the event to set, 0 for none.
    pub event: usize,
}

fn field<T>(overlapped: usize, offset: usize) -> *mut T {
    std::ptr::with_exposed_provenance_mut(overlapped.wrapping_add(offset))
}

/// Marks the operation as under way.
pub(crate) fn start(overlapped: usize) -> Result<(), Code> {
    let internal = field(overlapped, offset_of!(Overlapped, internal));
    user_memory::write(internal, Status::PENDING.0 as usize)
}

/// Tells the outcome. A structure that is no longer there is the program's affair.
pub(crate) fn finish(overlapped: usize, outcome: Outcome) {
    let high = field(overlapped, offset_of!(Overlapped, internal_high));
    let internal = field(overlapped, offset_of!(Overlapped, internal));
    let flags = field(overlapped, offset_of!(Overlapped, offset));
    let flags_told = match outcome.flags {
        0 => Ok(()),
        it => user_memory::write(flags, it),
    };
    // The status last: programs look at it without asking the library.
    let _ = flags_told
        .and_then(|()| user_memory::write(high, outcome.bytes as usize))
        .and_then(|()| user_memory::write(internal, outcome.status.0 as usize));
}

/// `WSAGetOverlappedResult`: whether the operation succeeded, and how many bytes it transferred.
/// With `wait` it waits for the end of one that is under way, not alertably.
///
/// Errors: those of the operation; `WSA_IO_INCOMPLETE` if it is under way; `WSAENOTSOCK`,
/// `WSAEFAULT`, `WSANOTINITIALISED`.
#[unsafe(no_mangle)]
pub extern "C" fn WSAGetOverlappedResult(
    socket: usize,
    overlapped: *const Overlapped,
    transferred: *mut u32,
    wait: c_int,
    flags: *mut u32,
) -> c_int {
    let get = || {
        let mut world = monitor::lock();
        startup::check()?;
        socket::look_up(&mut world, socket)?;
        let end = await_end(&mut world, overlapped, wait != 0)?;
        user_memory::write(transferred, end.internal_high as u32)?;
        user_memory::write(flags, end.offset)?;
        Status(end.internal as u32).winsock()
    };
    finish_call(get())
}

/// `GetOverlappedResult`: the same with Win32's errors, `ERROR_INVALID_HANDLE` for what is not a socket
/// and `ERROR_NOACCESS` for a bad pointer.
#[unsafe(no_mangle)]
pub extern "C" fn GetOverlappedResult(
    file: usize,
    overlapped: *const Overlapped,
    transferred: *mut u32,
    wait: c_int,
) -> c_int {
    let get = || {
        let mut world = monitor::lock();
        socket::look_up(&mut world, file).map_err(|_| Code::INVALID_HANDLE)?;
        let end = await_end(&mut world, overlapped, wait != 0)
            .and_then(|end| user_memory::write(transferred, end.internal_high as u32).map(|()| end))
            .map_err(|code| match code {
                Code::FAULT => Code::NOACCESS,
                code => code,
            })?;
        Status(end.internal as u32).win32()
    };
    finish_call(get())
}

/// Success resets the last error.
fn finish_call(result: Result<(), Code>) -> c_int {
    if result.is_ok() {
        last_error::set(Code(0));
    }
    true_or_last_error(result)
}

fn await_end(
    world: &mut Guard,
    overlapped: *const Overlapped,
    wait: bool,
) -> Result<Overlapped, Code> {
    loop {
        let now = user_memory::read(overlapped)?;
        if now.internal as u32 != Status::PENDING.0 {
            return Ok(now);
        }
        // One that was refused at once says that it is pending, on Windows too, and never ends.
        if !wait || !world.pending.contains_key(&overlapped.addr()) {
            return Err(Code::IO_INCOMPLETE);
        }
        world.wait(Deadline::NEVER);
    }
}
