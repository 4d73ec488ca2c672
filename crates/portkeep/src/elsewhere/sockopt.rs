//! The socket options of Portkeep's kernel part, which is Linux's: every function fails with
//! [`ErrorKind::NotSupported`](crate::ErrorKind::NotSupported).

use crate::socket::AsSocket;
#[cfg(not(windows))]
use crate::types::Consumers;
use crate::types::{Conflict, Consumer, Error, PortRange, Token};

#[cfg(not(windows))]
pub use crate::types::{CreateFlags, DeleteFlags};
#[cfg(windows)]
use crate::types::{CreateFlags, DeleteFlags};

fn refuse<T>() -> Result<T, Error> {
    Err(Error::not_supported("a socket option of Portkeep"))
}

/// Reserves ports until the last close of the socket.
///
/// # Errors
///
/// [`ErrorKind::NotSupported`](crate::ErrorKind::NotSupported)
#[cfg(not(windows))]
pub fn acquire(
    _socket: impl AsSocket,
    _start: u16,
    _count: u16,
    _consumers: Consumers,
    _align: u16,
) -> Result<(PortRange, Token), Error> {
    refuse()
}

/// Ends a reservation.
///
/// # Errors
///
/// [`ErrorKind::NotSupported`](crate::ErrorKind::NotSupported)
#[cfg(not(windows))]
pub fn release(_socket: impl AsSocket, _token: Token) -> Result<(), Error> {
    refuse()
}

/// Lets a socket bind in a reservation of this process.
///
/// # Errors
///
/// [`ErrorKind::NotSupported`](crate::ErrorKind::NotSupported)
#[cfg(not(windows))]
pub fn associate(_socket: impl AsSocket, _token: Token) -> Result<(), Error> {
    refuse()
}

/// The token that a socket is associated with.
///
/// # Errors
///
/// [`ErrorKind::NotSupported`](crate::ErrorKind::NotSupported)
pub fn associated(_socket: impl AsSocket) -> Result<Option<Token>, Error> {
    refuse()
}

/// Makes this process the owner of a reservation.
///
/// # Errors
///
/// [`ErrorKind::NotSupported`](crate::ErrorKind::NotSupported)
pub fn claim(_socket: impl AsSocket, _token: Token) -> Result<(), Error> {
    refuse()
}

/// What was in the way of the last refused call on a socket, which only Linux tells.
pub fn conflict(_socket: impl AsSocket) -> Option<Conflict> {
    None
}

/// Reserves ports until they are deleted, or until the next boot.
///
/// # Errors
///
/// [`ErrorKind::NotSupported`](crate::ErrorKind::NotSupported)
pub fn create(
    _socket: impl AsSocket,
    _start: u16,
    _count: u16,
    _align: u16,
    _flags: CreateFlags,
    _consumers: &[Consumer],
) -> Result<(PortRange, Token), Error> {
    refuse()
}

/// Ends a persistent reservation.
///
/// # Errors
///
/// [`ErrorKind::NotSupported`](crate::ErrorKind::NotSupported)
pub fn delete(
    _socket: impl AsSocket,
    _start: u16,
    _count: u16,
    _flags: DeleteFlags,
) -> Result<(), Error> {
    refuse()
}

/// The token of a persistent reservation.
///
/// # Errors
///
/// [`ErrorKind::NotSupported`](crate::ErrorKind::NotSupported)
pub fn lookup(_socket: impl AsSocket, _start: u16, _count: u16) -> Result<Token, Error> {
    refuse()
}

/// The version of the kernel ABI that answers.
///
/// # Errors
///
/// [`ErrorKind::NotSupported`](crate::ErrorKind::NotSupported)
pub fn version(_socket: impl AsSocket) -> Result<u32, Error> {
    refuse()
}
