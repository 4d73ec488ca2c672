//! Names and addresses: `getaddrinfo`, `getnameinfo`, `InetPton`, `InetNtop`, with Winsock's codes.

use std::ffi::{CStr, c_char, c_int, c_void};

use libc::{addrinfo, sockaddr, socklen_t, wchar_t};

use crate::address::Address;
use crate::calls::may_call;
use crate::code::Code;
use crate::create::WINDOWS_AF_INET6;
use crate::last_error;
use crate::user_memory;

/// The code for a result of the C library's functions.
fn code_of(result: c_int) -> Code {
    match result {
        libc::EAI_AGAIN => Code(11002),
        libc::EAI_BADFLAGS | libc::EAI_OVERFLOW => Code::INVAL,
        libc::EAI_FAMILY => Code::AFNOSUPPORT,
        libc::EAI_MEMORY => Code::NOT_ENOUGH_MEMORY,
        libc::EAI_NODATA => Code(11004),
        libc::EAI_NONAME => Code(11001),
        libc::EAI_SERVICE => Code(10109),
        libc::EAI_SOCKTYPE => Code(10044),
        libc::EAI_SYSTEM => Code::last_os_error(),
        _ => Code(11003),
    }
}

/// These functions return the code, and set the last error to it.
fn told(result: Result<(), Code>) -> c_int {
    last_error::set(result.err().unwrap_or(Code(0)));
    last_error::get().0
}

fn family(family: c_int) -> c_int {
    match family {
        WINDOWS_AF_INET6 => libc::AF_INET6,
        family => family,
    }
}

/// `getaddrinfo`
///
/// # Safety
///
/// As of getaddrinfo(3).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn portkeep_winsock_getaddrinfo(
    node: *const c_char,
    service: *const c_char,
    hints: *const addrinfo,
    result: *mut *mut addrinfo,
) -> c_int {
    let look_up = || {
        may_call()?;
        user_memory::check_writable(result.cast(), size_of::<*mut addrinfo>())?;
        let hints = match hints.is_null() {
            true => None,
            false => {
                let mut hints = user_memory::read(hints)?;
                hints.ai_family = family(hints.ai_family);
                Some(hints)
            }
        };
        let hints = hints
            .as_ref()
            .map_or(std::ptr::null(), |hints| &raw const *hints);
        // SAFETY: the caller vouches for the strings and for where the result goes.
        match unsafe { libc::getaddrinfo(node, service, hints, result) } {
            0 => Ok(()),
            error => Err(code_of(error)),
        }
    };
    told(look_up())
}

/// `freeaddrinfo`
///
/// # Safety
///
/// As of freeaddrinfo(3).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn portkeep_winsock_freeaddrinfo(info: *mut addrinfo) {
    if !info.is_null() {
        // SAFETY: the caller vouches for it.
        unsafe { libc::freeaddrinfo(info) };
    }
}

/// `getnameinfo`
///
/// # Safety
///
/// As of getnameinfo(3).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn portkeep_winsock_getnameinfo(
    address: *const sockaddr,
    length: socklen_t,
    node: *mut c_char,
    node_length: u32,
    service: *mut c_char,
    service_length: u32,
    flags: c_int,
) -> c_int {
    let look_up = || {
        may_call()?;
        let address = Address::of_peer(address, length)?;
        let (address, length) = address.parts();
        // SAFETY: the caller vouches for the pointers.
        match unsafe {
            libc::getnameinfo(
                address,
                length,
                node,
                node_length,
                service,
                service_length,
                flags,
            )
        } {
            0 => Ok(()),
            error => Err(code_of(error)),
        }
    };
    told(look_up())
}

/// `InetPtonA`: 1 and the address, 0 if the text is none, -1 (`WSAEAFNOSUPPORT`, `WSAEFAULT`).
///
/// # Safety
///
/// As of inet_pton(3).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn InetPtonA(
    of_family: c_int,
    text: *const c_char,
    address: *mut c_void,
) -> c_int {
    unsafe extern "C" {
        fn inet_pton(family: c_int, text: *const c_char, address: *mut c_void) -> c_int;
    }
    let result = match text.is_null() || address.is_null() {
        true => Err(Code::FAULT),
        // SAFETY: the caller vouches for the pointers.
        false => match unsafe { inet_pton(family(of_family), text, address) } {
            -1 => Err(Code::AFNOSUPPORT),
            result => Ok(result),
        },
    };
    last_error::or_socket_error(result)
}

/// `InetPtonW`: as `InetPtonA`.
///
/// # Safety
///
/// As of `InetPtonA`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn InetPtonW(
    of_family: c_int,
    text: *const wchar_t,
    address: *mut c_void,
) -> c_int {
    // Longer than the longest address; a character that none has ends it.
    let mut narrow = [0_u8; 64];
    if !text.is_null() {
        for (index, byte) in narrow.iter_mut().take(63).enumerate() {
            // SAFETY: the string has not ended yet.
            let character = unsafe { *text.wrapping_add(index) };
            match u8::try_from(character) {
                Ok(0) => break,
                Ok(ascii) if ascii.is_ascii() => *byte = ascii,
                _ => {
                    *byte = b'?';
                    break;
                }
            }
        }
    }
    let narrow = match text.is_null() {
        true => std::ptr::null(),
        false => narrow.as_ptr().cast(),
    };
    // SAFETY: the bytes end with a zero; the caller vouches for the address.
    unsafe { InetPtonA(of_family, narrow, address) }
}

/// `InetNtopA`: the address as text, or null: `WSAEAFNOSUPPORT`, `WSA_INVALID_PARAMETER` if the text does
/// not fit, `WSAEFAULT`.
///
/// # Safety
///
/// As of inet_ntop(3).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn InetNtopA(
    of_family: c_int,
    address: *const c_void,
    text: *mut c_char,
    size: usize,
) -> *const c_char {
    unsafe extern "C" {
        fn inet_ntop(
            family: c_int,
            address: *const c_void,
            text: *mut c_char,
            size: socklen_t,
        ) -> *const c_char;
    }
    if address.is_null() || text.is_null() {
        last_error::set(Code::FAULT);
        return std::ptr::null();
    }
    let size = socklen_t::try_from(size).unwrap_or(socklen_t::MAX);
    // SAFETY: the caller vouches for the pointers.
    let written = unsafe { inet_ntop(family(of_family), address, text, size) };
    if written.is_null() {
        let errno = std::io::Error::last_os_error().raw_os_error();
        last_error::set(match errno {
            Some(libc::ENOSPC) => Code::INVALID_PARAMETER,
            _ => Code::AFNOSUPPORT,
        });
    }
    written
}

/// `InetNtopW`: as `InetNtopA`.
///
/// # Safety
///
/// As of `InetNtopA`; `text` has room for `size` characters.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn InetNtopW(
    of_family: c_int,
    address: *const c_void,
    text: *mut wchar_t,
    size: usize,
) -> *const wchar_t {
    let mut narrow: [c_char; 64] = [0; 64];
    let to = match text.is_null() {
        true => std::ptr::null_mut(),
        false => narrow.as_mut_ptr(),
    };
    // SAFETY: `to` has as much room; the caller vouches for the address.
    if unsafe { InetNtopA(of_family, address, to, size.min(narrow.len())) }.is_null() {
        return std::ptr::null();
    }
    // SAFETY: the function has ended it with a zero.
    let bytes = unsafe { CStr::from_ptr(narrow.as_ptr()) }.to_bytes_with_nul();
    for (index, &byte) in bytes.iter().enumerate() {
        // SAFETY: it fits, as the function has found.
        unsafe { text.wrapping_add(index).write(wchar_t::from(byte)) };
    }
    text
}
