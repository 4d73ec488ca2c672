//! The functions of the IP Helper API for persistent reservations. They return the error.

use portkeep::{PortRange, Protocol};

use crate::persistent;
use crate::user_memory;

const NO_ERROR: u32 = 0;
const ERROR_ACCESS_DENIED: u32 = 5;
const ERROR_SHARING_VIOLATION: u32 = 32;
const ERROR_NOT_SUPPORTED: u32 = 50;
const ERROR_INVALID_PARAMETER: u32 = 87;
const ERROR_NOT_FOUND: u32 = 1168;
const ERROR_NO_SYSTEM_RESOURCES: u32 = 1450;

/// `CreatePersistentTcpPortReservation`
#[unsafe(no_mangle)]
pub extern "C" fn CreatePersistentTcpPortReservation(
    start: u16,
    count: u16,
    token: *mut u64,
) -> u32 {
    code(create(Protocol::Tcp, start, count, token))
}

/// `CreatePersistentUdpPortReservation`
#[unsafe(no_mangle)]
pub extern "C" fn CreatePersistentUdpPortReservation(
    start: u16,
    count: u16,
    token: *mut u64,
) -> u32 {
    code(create(Protocol::Udp, start, count, token))
}

/// `DeletePersistentTcpPortReservation`
#[unsafe(no_mangle)]
pub extern "C" fn DeletePersistentTcpPortReservation(start: u16, count: u16) -> u32 {
    code(delete(Protocol::Tcp, start, count))
}

/// `DeletePersistentUdpPortReservation`
#[unsafe(no_mangle)]
pub extern "C" fn DeletePersistentUdpPortReservation(start: u16, count: u16) -> u32 {
    code(delete(Protocol::Udp, start, count))
}

/// `LookupPersistentTcpPortReservation`
#[unsafe(no_mangle)]
pub extern "C" fn LookupPersistentTcpPortReservation(
    start: u16,
    count: u16,
    token: *mut u64,
) -> u32 {
    code(lookup(Protocol::Tcp, start, count, token))
}

/// `LookupPersistentUdpPortReservation`
#[unsafe(no_mangle)]
pub extern "C" fn LookupPersistentUdpPortReservation(
    start: u16,
    count: u16,
    token: *mut u64,
) -> u32 {
    code(lookup(Protocol::Udp, start, count, token))
}

fn create(protocol: Protocol, start: u16, count: u16, token: *mut u64) -> Result<(), u32> {
    let range = range(protocol, start, count)?;
    // Before anything is reserved.
    check_token(token)?;
    let created = persistent::create(range).map_err(of_errno)?;
    user_memory::write(token, created.as_raw()).map_err(|_| ERROR_INVALID_PARAMETER)
}

fn delete(protocol: Protocol, start: u16, count: u16) -> Result<(), u32> {
    persistent::delete(range(protocol, start, count)?).map_err(of_errno)
}

fn lookup(protocol: Protocol, start: u16, count: u16, token: *mut u64) -> Result<(), u32> {
    let range = range(protocol, start, count)?;
    check_token(token)?;
    let found = persistent::lookup(range).map_err(of_errno)?;
    user_memory::write(token, found.as_raw()).map_err(|_| ERROR_INVALID_PARAMETER)
}

/// `start` is in network byte order. There is no wildcard.
fn range(protocol: Protocol, start: u16, count: u16) -> Result<PortRange, u32> {
    PortRange::with_count(protocol, u16::from_be(start), count).map_err(|_| ERROR_INVALID_PARAMETER)
}

fn check_token(token: *mut u64) -> Result<(), u32> {
    user_memory::check_writable(token.cast(), size_of::<u64>()).map_err(|_| ERROR_INVALID_PARAMETER)
}

fn code(result: Result<(), u32>) -> u32 {
    result.err().unwrap_or(NO_ERROR)
}

/// Windows' code for a refusal.
fn of_errno(errno: i32) -> u32 {
    match errno {
        libc::EADDRINUSE => ERROR_SHARING_VIOLATION,
        libc::EACCES | libc::EPERM => ERROR_ACCESS_DENIED,
        libc::ENOENT => ERROR_NOT_FOUND,
        libc::ENOPROTOOPT => ERROR_NOT_SUPPORTED,
        libc::EINVAL => ERROR_INVALID_PARAMETER,
        // connect() may have a port of the block at any time.
        libc::EADDRNOTAVAIL => ERROR_SHARING_VIOLATION,
        _ => ERROR_NO_SYSTEM_RESOURCES,
    }
}
