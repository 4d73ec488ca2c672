//! `FormatMessageA` and `FormatMessageW`: the texts of error codes.

use std::ffi::{c_char, c_void};

use libc::wchar_t;

use crate::code::Code;
use crate::last_error;
use crate::user_memory;

const MAX_WIDTH_MASK: u32 = 0xFF;
const ALLOCATE_BUFFER: u32 = 0x100;
const FROM_SYSTEM: u32 = 0x1000;
/// `FROM_STRING` and `FROM_HMODULE`
const OTHER_SOURCES: u32 = 0x400 | 0x800;

const INSUFFICIENT_BUFFER: Code = Code(122);
const MESSAGE_NOT_FOUND: Code = Code(317);

/// The codes that functions here have, and what programs compare with.
const MESSAGES: &[(u32, &str)] = &[
    (0, "The operation succeeded"),
    (2, "File not found"),
    (5, "Access denied"),
    (6, "Invalid handle"),
    (8, "Not enough memory"),
    (32, "The port is reserved or in use by another process"),
    (50, "Not supported"),
    (64, "The connection is gone"),
    (87, "Invalid parameter"),
    (122, "The buffer is too small"),
    (258, "The wait timed out"),
    (317, "There is no text for this message number"),
    (735, "The handle was closed while it was waited for"),
    (995, "The operation was aborted"),
    (996, "The overlapped operation has not completed"),
    (997, "The overlapped operation is in progress"),
    (1168, "Not found"),
    (1234, "The port is unreachable"),
    (1314, "The process lacks a privilege"),
    (1450, "Insufficient system resources"),
    (10004, "Interrupted function call"),
    (10009, "Bad file handle"),
    (10013, "Permission denied"),
    (10014, "Bad address"),
    (10022, "Invalid argument"),
    (10024, "Too many open sockets"),
    (10035, "Resource temporarily unavailable"),
    (10036, "Operation now in progress"),
    (10037, "Operation already in progress"),
    (10038, "Socket operation on a non-socket"),
    (10039, "Destination address required"),
    (10040, "Message too long"),
    (10041, "Wrong protocol type for the socket"),
    (10042, "Bad protocol option"),
    (10043, "Protocol not supported"),
    (10044, "Socket type not supported"),
    (10045, "Operation not supported"),
    (10046, "Protocol family not supported"),
    (10047, "Address family not supported by the protocol"),
    (10048, "Address already in use"),
    (10049, "Cannot assign the requested address"),
    (10050, "Network is down"),
    (10051, "Network is unreachable"),
    (10052, "Network dropped the connection on reset"),
    (10053, "Software caused a connection abort"),
    (10054, "Connection reset by peer"),
    (10055, "No buffer space available"),
    (10056, "Socket is already connected"),
    (10057, "Socket is not connected"),
    (10058, "Cannot send after shutdown"),
    (10059, "Too many references"),
    (10060, "Connection timed out"),
    (10061, "Connection refused"),
    (10062, "Cannot translate the name"),
    (10063, "Name too long"),
    (10064, "Host is down"),
    (10065, "No route to host"),
    (10066, "Directory not empty"),
    (10067, "Too many processes"),
    (10068, "User quota exceeded"),
    (10069, "Quota exceeded"),
    (10070, "Stale handle"),
    (10071, "The item is remote"),
    (10091, "Network subsystem is unavailable"),
    (10092, "This version of Winsock is not available"),
    (10093, "WSAStartup has not been called"),
    (10109, "Service type not found"),
    (11001, "Host not found"),
    (11002, "The name server did not answer; try again"),
    (11003, "The name server failed"),
    (11004, "The name has no address"),
];

/// The text of a code without the full stop and the line break.
pub(crate) fn text(code: u32) -> Option<&'static str> {
    MESSAGES
        .iter()
        .find(|(known, _)| *known == code)
        .map(|(_, text)| *text)
}

fn message(flags: u32, id: u32) -> Result<String, Code> {
    if flags & FROM_SYSTEM == 0 || flags & OTHER_SOURCES != 0 {
        return Err(Code::INVALID_PARAMETER);
    }
    // A code of Win32 may come as an HRESULT.
    let id = match id >> 16 {
        0x8007 => id & 0xFFFF,
        _ => id,
    };
    let text = text(id).ok_or(MESSAGE_NOT_FOUND)?;
    let end = match flags & MAX_WIDTH_MASK {
        MAX_WIDTH_MASK => " ",
        _ => "\r\n",
    };
    Ok(format!("{text}.{end}"))
}

/// Writes the message where the caller wants it; how many characters there are before the zero.
fn format<T: Copy + From<u8>>(flags: u32, id: u32, buffer: *mut T, size: u32) -> Result<u32, Code> {
    let message = message(flags, id)?;
    let characters: Vec<T> = message.bytes().chain([0]).map(T::from).collect();
    let length = characters.len() - 1;
    let to = if flags & ALLOCATE_BUFFER != 0 {
        let wanted = characters.len().max(size as usize);
        // SAFETY: malloc(3) takes a size that is not zero.
        let memory = unsafe { libc::malloc(wanted * size_of::<T>()) }.cast::<T>();
        if memory.is_null() {
            return Err(Code::NOT_ENOUGH_MEMORY);
        }
        // What the caller gave is the address of a pointer.
        user_memory::write(buffer.cast::<*mut T>(), memory).map_err(|_| {
            // SAFETY: just allocated, and nobody else has it.
            unsafe { libc::free(memory.cast()) };
            Code::INVALID_PARAMETER
        })?;
        memory
    } else if (size as usize) < characters.len() {
        return Err(INSUFFICIENT_BUFFER);
    } else {
        buffer
    };
    for (index, &character) in characters.iter().enumerate() {
        user_memory::write(to.wrapping_add(index), character)
            .map_err(|_| Code::INVALID_PARAMETER)?;
    }
    Ok(length as u32)
}

fn count(result: Result<u32, Code>) -> u32 {
    result.unwrap_or_else(|code| {
        last_error::set(code);
        0
    })
}

/// `FormatMessageA`: the text of an error code, from `FORMAT_MESSAGE_FROM_SYSTEM` only. The number of its
/// characters, 0 with the last error set.
#[unsafe(no_mangle)]
pub extern "C" fn FormatMessageA(
    flags: u32,
    _source: *const c_void,
    id: u32,
    _language: u32,
    buffer: *mut c_char,
    size: u32,
    _arguments: *mut c_void,
) -> u32 {
    count(format(flags, id, buffer.cast::<u8>(), size))
}

/// `FormatMessageW`: as `FormatMessageA`, in characters of `wchar_t`.
#[unsafe(no_mangle)]
pub extern "C" fn FormatMessageW(
    flags: u32,
    _source: *const c_void,
    id: u32,
    _language: u32,
    buffer: *mut wchar_t,
    size: u32,
    _arguments: *mut c_void,
) -> u32 {
    count(format(flags, id, buffer, size))
}

/// `LocalFree`: frees what `FormatMessage` allocated; null frees nothing.
///
/// # Safety
///
/// The memory is from `FormatMessage`, and nobody uses it any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn LocalFree(memory: *mut c_void) -> *mut c_void {
    // SAFETY: the caller vouches for it.
    unsafe { libc::free(memory) };
    std::ptr::null_mut()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_in_order() {
        assert!(MESSAGES.windows(2).all(|pair| pair[0].0 < pair[1].0));
    }
}
