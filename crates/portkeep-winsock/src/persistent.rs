//! Persistent reservations, as the kernel part keeps them. Errors are errno values.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use portkeep::abi::{self, SOL_PORTKEEP};
use portkeep::{PortRange, Protocol, Token};

const PORTKEEP_CREATE: i32 = 4;
const PORTKEEP_DELETE: i32 = 5;
const PORTKEEP_LOOKUP: i32 = 6;

pub(crate) fn create(range: PortRange) -> Result<Token, i32> {
    let socket = socket(range.protocol())?;
    let request = abi::AcquireRequest {
        range: abi_range(range),
        ..abi::AcquireRequest::default()
    };
    set(&socket, PORTKEEP_CREATE, &request)?;
    token(&socket, PORTKEEP_CREATE)
}

pub(crate) fn delete(range: PortRange) -> Result<(), i32> {
    let socket = socket(range.protocol())?;
    set(&socket, PORTKEEP_DELETE, &abi_range(range))
}

pub(crate) fn lookup(range: PortRange) -> Result<Token, i32> {
    let socket = socket(range.protocol())?;
    set(&socket, PORTKEEP_LOOKUP, &abi_range(range))?;
    token(&socket, PORTKEEP_LOOKUP)
}

fn abi_range(range: PortRange) -> abi::Range {
    abi::Range {
        start: abi::Be16::new(range.start()),
        count: range.count(),
    }
}

fn check(result: i32) -> Result<i32, i32> {
    match result {
        -1 => Err(io::Error::last_os_error()
            .raw_os_error()
            .unwrap_or(libc::EIO)),
        result => Ok(result),
    }
}

fn socket(protocol: Protocol) -> Result<OwnedFd, i32> {
    let kind = match protocol {
        Protocol::Tcp => libc::SOCK_STREAM,
        Protocol::Udp => libc::SOCK_DGRAM,
    };
    // SAFETY: socket(2) takes no pointers.
    let descriptor = check(unsafe { libc::socket(libc::AF_INET, kind | libc::SOCK_CLOEXEC, 0) })?;
    // SAFETY: a new descriptor, nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

fn set<T>(socket: &OwnedFd, option: i32, value: &T) -> Result<(), i32> {
    // SAFETY: the pointer and the length describe `value`, which has no padding.
    check(unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            SOL_PORTKEEP,
            option,
            (&raw const *value).cast(),
            size_of::<T>() as libc::socklen_t,
        )
    })?;
    Ok(())
}

fn token(socket: &OwnedFd, option: i32) -> Result<Token, i32> {
    let mut instance = abi::Instance::default();
    let mut length = size_of::<abi::Instance>() as libc::socklen_t;
    // SAFETY: the pointer and the length describe `instance`.
    check(unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            SOL_PORTKEEP,
            option,
            (&raw mut instance).cast(),
            &raw mut length,
        )
    })?;
    Token::from_raw(instance.token).ok_or(libc::EIO)
}
