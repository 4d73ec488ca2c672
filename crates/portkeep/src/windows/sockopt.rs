//! The control codes, one function each.
//!
//! [`Reservation`](crate::Reservation) is made of them. They serve programs that keep their sockets
//! themselves: nothing is held open or released behind the caller's back.
//!
//! Every function may fail with [`ErrorKind::NotSupportedSocket`] and [`ErrorKind::NotASocket`].
//! What Linux alone has fails with [`ErrorKind::NotSupported`]. Persistent reservations are in
//! [`persistent`](crate::persistent).
//! See [`SIO_ACQUIRE_PORT_RESERVATION`] and its siblings.
//!
//! [`ErrorKind::NotSupportedSocket`]: crate::ErrorKind::NotSupportedSocket
//! [`ErrorKind::NotSupported`]: crate::ErrorKind::NotSupported
//! [`ErrorKind::NotASocket`]: crate::ErrorKind::NotASocket
//! [`SIO_ACQUIRE_PORT_RESERVATION`]: https://learn.microsoft.com/windows/win32/winsock/sio-acquire-port-reservation

use std::os::windows::io::{AsSocket, BorrowedSocket};

use super::code;
use super::winsock::{self, Instance, Range};
use crate::types::{Consumers, Error, ErrorKind, PortRange, Protocol, Token};

pub use crate::elsewhere::sockopt::{associated, claim, conflict, create, delete, lookup, version};
pub use crate::types::{CreateFlags, DeleteFlags};

const SIO_ACQUIRE_PORT_RESERVATION: u32 = 0x9800_0064;
const SIO_RELEASE_PORT_RESERVATION: u32 = 0x9800_0065;
const SIO_ASSOCIATE_PORT_RESERVATION: u32 = 0x9800_0066;

/// Reserves `count` ports of the socket's protocol, until the socket is closed; `start` 0 is a
/// wildcard.
///
/// # Errors
///
/// [`ErrorKind::InUse`], [`ErrorKind::NoFreeBlock`], [`ErrorKind::NotPermitted`],
/// [`ErrorKind::InvalidInput`], also for consumers other than [`Consumers::ASSOCIATED`] and for an
/// alignment of a wildcard, neither of which Windows has.
#[doc(alias = "SIO_ACQUIRE_PORT_RESERVATION")]
pub fn acquire(
    socket: impl AsSocket,
    start: u16,
    count: u16,
    consumers: Consumers,
    align: u16,
) -> Result<(PortRange, Token), Error> {
    if consumers != Consumers::ASSOCIATED {
        return Err(Error::invalid_input(
            "Windows lets none but associated sockets bind to reserved ports",
        ));
    }
    if align > 1 && (start == 0 || !align.is_power_of_two() || !start.is_multiple_of(align)) {
        return Err(Error::invalid_input(
            "the alignment does not go with the start, or with Windows' choice of one",
        ));
    }
    let socket = socket.as_socket();
    let protocol = protocol_of(socket)?;
    let range = match start {
        0 if count == 0 => return Err(Error::invalid_input("the number of ports must not be 0")),
        0 => None,
        _ => Some(PortRange::with_count(protocol, start, count)?),
    };
    let request = Range {
        start: start.to_be(),
        count,
    };
    let instance: Instance =
        winsock::control_with_output(socket, SIO_ACQUIRE_PORT_RESERVATION, &request)
            .map_err(|error| code::of_acquire(error, range, count))?;
    let start = u16::from_be(instance.range.start);
    PortRange::with_count(protocol, start, instance.range.count)
        .ok()
        .zip(Token::from_raw(instance.token))
        .ok_or_else(|| {
            let message = format!("the system's answer is invalid: {instance:?}");
            Error::new(ErrorKind::Io, None, message)
        })
}

/// Ends a reservation. Any TCP or UDP socket of the owning process will do.
///
/// # Errors
///
/// [`ErrorKind::NotOwner`], [`ErrorKind::UnknownToken`]
#[doc(alias = "SIO_RELEASE_PORT_RESERVATION")]
pub fn release(socket: impl AsSocket, token: Token) -> Result<(), Error> {
    let code = SIO_RELEASE_PORT_RESERVATION;
    set_token(socket.as_socket(), code, "releasing", token)
}

/// Lets a socket, which must not be bound yet, bind in a reservation of this process, or, for an
/// elevated administrator, in a persistent one.
///
/// # Errors
///
/// [`ErrorKind::NotOwner`], [`ErrorKind::UnknownToken`], [`ErrorKind::AlreadyBound`]
#[doc(alias = "SIO_ASSOCIATE_PORT_RESERVATION")]
pub fn associate(socket: impl AsSocket, token: Token) -> Result<(), Error> {
    let code = SIO_ASSOCIATE_PORT_RESERVATION;
    let socket = socket.as_socket();
    set_token(socket, code, "associating", token).map_err(|error| {
        // Windows has one code for both.
        match (error.kind(), winsock::bound_port(socket)) {
            (ErrorKind::UnknownToken, Ok(Some(port))) => Error::already_bound("associating", port),
            _ => error,
        }
    })
}

fn set_token(
    socket: BorrowedSocket<'_>,
    code: u32,
    doing: &str,
    token: Token,
) -> Result<(), Error> {
    winsock::control(socket, code, &token.as_raw())
        .map_err(|error| code::of_token_call(doing, error, token))
}

pub(crate) fn protocol_of(socket: BorrowedSocket<'_>) -> Result<Protocol, Error> {
    winsock::protocol_of(socket)
        .map_err(|error| code::of_call("asking the socket for its type", error))?
        .ok_or_else(|| code::of_call("", code::WSAEOPNOTSUPP))
}
