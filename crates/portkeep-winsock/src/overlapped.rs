//! `WSAOVERLAPPED`, and the outcome of an operation that it tells.

use std::ffi::c_int;
use std::mem::offset_of;

use crate::code::Code;
use crate::last_error::{self, true_or_last_error};
use crate::monitor::{self, Deadline};
use crate::socket;
use crate::startup;
use crate::user_memory;

/// `WSAOVERLAPPED`, which is `OVERLAPPED`: 32 bytes, 20 on 32-bit.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Overlapped {
    /// `Internal`: the NTSTATUS of the operation.
    pub internal: usize,
    /// `InternalHigh`: the bytes transferred.
    pub internal_high: usize,
    /// `Offset`, of files.
    pub offset: u32,
    /// `OffsetHigh`, of files.
    pub offset_high: u32,
    /// `hEvent`: the event to set, 0 for none.
    pub event: usize,
}

const STATUS_SUCCESS: u32 = 0;
const STATUS_PENDING: u32 = 0x103;

/// NTSTATUS codes and the Winsock codes that Windows makes of them.
const STATUSES: [(u32, Code); 10] = [
    (0xC000_0005, Code::FAULT),             // STATUS_ACCESS_VIOLATION
    (0xC000_000D, Code::INVAL),             // STATUS_INVALID_PARAMETER
    (0xC000_0008, Code::NOTSOCK),           // STATUS_INVALID_HANDLE
    (0xC000_0022, Code::ACCES),             // STATUS_ACCESS_DENIED
    (0xC000_0043, Code::ADDRINUSE),         // STATUS_SHARING_VIOLATION
    (0xC000_009A, Code::NOBUFS),            // STATUS_INSUFFICIENT_RESOURCES
    (0xC000_00BB, Code::OPNOTSUPP),         // STATUS_NOT_SUPPORTED
    (0xC000_0120, Code::OPERATION_ABORTED), // STATUS_CANCELLED
    (0xC000_0141, Code::ADDRNOTAVAIL),      // STATUS_INVALID_ADDRESS
    (0xC000_0240, Code::INTR),              // STATUS_REQUEST_ABORTED
];

/// The bits of an NTSTATUS for an error that somebody else than Microsoft defines: for Winsock
/// codes which no status stands for.
const CUSTOMER_ERROR: u32 = 0xE000_0000;

fn status_of(code: Code) -> u32 {
    STATUSES
        .iter()
        .find(|(_, known)| *known == code)
        .map_or(CUSTOMER_ERROR | code.0.unsigned_abs(), |(status, _)| {
            *status
        })
}

fn code_of(status: u32) -> Code {
    STATUSES
        .iter()
        .find(|(known, _)| *known == status)
        .map(|(_, code)| *code)
        .unwrap_or_else(|| match status & CUSTOMER_ERROR {
            CUSTOMER_ERROR => Code((status & !CUSTOMER_ERROR) as i32),
            _ => Code::INVAL,
        })
}

fn field(overlapped: usize, offset: usize) -> *mut usize {
    std::ptr::with_exposed_provenance_mut(overlapped.wrapping_add(offset))
}

/// Marks the operation as under way.
pub(crate) fn start(overlapped: usize) -> Result<(), Code> {
    let internal = field(overlapped, offset_of!(Overlapped, internal));
    user_memory::write(internal, STATUS_PENDING as usize)
}

/// Tells the outcome: the bytes transferred or the error. A structure that is no longer there is
/// the program's affair.
pub(crate) fn finish(overlapped: usize, result: Result<u32, Code>) {
    let (status, bytes) = match result {
        Ok(bytes) => (STATUS_SUCCESS, bytes),
        Err(code) => (status_of(code), 0),
    };
    let high = field(overlapped, offset_of!(Overlapped, internal_high));
    let internal = field(overlapped, offset_of!(Overlapped, internal));
    // The status last: programs look at it without asking the library.
    let _ = user_memory::write(high, bytes as usize)
        .and_then(|()| user_memory::write(internal, status as usize));
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
    let result = outcome(socket, overlapped, wait != 0).and_then(|(status, bytes)| {
        user_memory::write(transferred, bytes)?;
        user_memory::write(flags, 0)?;
        match status {
            // Positive numbers are successes.
            status if status >> 31 == 0 => Ok(()),
            status => Err(code_of(status)),
        }
    });
    if result.is_ok() {
        last_error::set(Code(0));
    }
    true_or_last_error(result)
}

fn outcome(socket: usize, overlapped: *const Overlapped, wait: bool) -> Result<(u32, u32), Code> {
    let mut world = monitor::lock();
    startup::check()?;
    socket::look_up(&mut world, socket)?;
    loop {
        let now = user_memory::read(overlapped)?;
        if now.internal as u32 != STATUS_PENDING {
            return Ok((now.internal as u32, now.internal_high as u32));
        }
        // One that was refused at once says that it is pending, on Windows too, and never ends.
        if !wait || !world.pending.contains_key(&overlapped.addr()) {
            return Err(Code::IO_INCOMPLETE);
        }
        world.wait(Deadline::NEVER);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_comes_back() {
        for code in (0..20_000).map(Code) {
            assert_eq!(code_of(status_of(code)), code);
            assert_eq!(status_of(code) >> 31, 1, "{code:?} is an error");
        }
        // STATUS_NOT_FOUND, which no table has.
        assert_eq!(code_of(0xC000_0225), Code::INVAL);
    }
}
