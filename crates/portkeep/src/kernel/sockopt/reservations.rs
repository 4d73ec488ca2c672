//! Reservations of a process: the socket options ACQUIRE, RELEASE, ASSOCIATE and CLAIM, and what
//! they tell.

use std::os::fd::BorrowedFd;

use crate::kernel::in_the_way;
use crate::kernel::option::{self, decode, get, protocol_of, recorded_conflict, set_token};
use crate::netns;
use crate::socket::AsSocket;
use crate::sys;
use crate::types::abi::{self, SOL_PORTKEEP};
use crate::types::{Conflict, Consumers, Error, ErrorKind, PortRange, Protocol, Token};

/// Reserves `count` ports of the socket's protocol, until the last close of the socket.
///
/// `start` 0 is a wildcard: any free block of the pool. Otherwise the block starts there. `align`
/// is a power of two that the start is a multiple of; 0 means 1. A socket may acquire several
/// blocks.
///
/// # Errors
///
/// [`ErrorKind::Reserved`], [`ErrorKind::InUse`], [`ErrorKind::NoFreeBlock`],
/// [`ErrorKind::AutomaticRange`], [`ErrorKind::Quota`], [`ErrorKind::NotPermitted`],
/// [`ErrorKind::InvalidInput`], [`ErrorKind::TablesFull`].
#[doc(alias = "SIO_ACQUIRE_PORT_RESERVATION")]
pub fn acquire(
    socket: impl AsSocket,
    start: u16,
    count: u16,
    consumers: Consumers,
    align: u16,
) -> Result<(PortRange, Token), Error> {
    let socket = socket.as_fd();
    let protocol = protocol_of(socket)?;
    try_acquire(socket, protocol, start, count, consumers, align)
        .map_err(|error| in_the_way::name_owner(error, || netns::cookie_of(socket)))
}

/// As [`acquire`], but does not look up the command in the way.
pub(in crate::kernel) fn try_acquire(
    socket: BorrowedFd<'_>,
    protocol: Protocol,
    start: u16,
    count: u16,
    consumers: Consumers,
    align: u16,
) -> Result<(PortRange, Token), Error> {
    let range = match start {
        0 if count == 0 => return Err(Error::invalid_input("the number of ports must not be 0")),
        0 => None,
        _ => Some(PortRange::with_count(protocol, start, count)?),
    };
    // A socket has a cookie from the first time it is asked for. The list of reservations has the
    // cookie of the moment of acquiring, and `Reservation::claim` finds the socket by it.
    sys::cookie(socket)
        .map_err(|error| Error::from_call("asking the socket for its cookie", error))?;
    let request = abi::AcquireRequest {
        range: abi::Range {
            start: abi::Be16::new(start),
            count,
        },
        flags: consumers.bits(),
        align,
        reserved: [0; 6],
    };
    sys::set_option(socket, SOL_PORTKEEP, abi::PORTKEEP_ACQUIRE, &request).map_err(|error| {
        let conflict = recorded_conflict(socket);
        Error::from_acquire(error, range, count, conflict)
    })?;
    // The kernel part remembers the last result by socket and thread, so it is read right here.
    let doing = "reading which ports were acquired";
    let instance: abi::Instance = get(socket, abi::PORTKEEP_ACQUIRE, doing)?;
    decode(instance, protocol, doing)
}

/// Ends a reservation. Sockets that are bound to its ports stay so.
///
/// Any TCP or UDP socket of the owning process will do.
///
/// # Errors
///
/// [`ErrorKind::NotOwner`], [`ErrorKind::UnknownToken`]
#[doc(alias = "SIO_RELEASE_PORT_RESERVATION")]
pub fn release(socket: impl AsSocket, token: Token) -> Result<(), Error> {
    set_token(socket.as_fd(), abi::PORTKEEP_RELEASE, "releasing", token)
}

/// Lets a socket, which must not be bound yet, bind in a reservation of this process.
///
/// After it the socket can bind to no port outside. Binding to port 0 takes a free port of the
/// reservation, and so does connect(2) of a socket that is not bound. sendto(2) and listen(2) take any
/// free port that nobody reserves: bind first. Associating an unbound socket again replaces the token.
///
/// # Errors
///
/// [`ErrorKind::NotOwner`], [`ErrorKind::UnknownToken`] (also for a reservation of the other
/// protocol or of another network namespace), [`ErrorKind::AlreadyBound`].
#[doc(alias = "SIO_ASSOCIATE_PORT_RESERVATION")]
pub fn associate(socket: impl AsSocket, token: Token) -> Result<(), Error> {
    let socket = socket.as_fd();
    set_token(socket, abi::PORTKEEP_ASSOCIATE, "associating", token).map_err(|error| {
        match (error.kind(), sys::bound_port(socket)) {
            (ErrorKind::UnknownToken, Ok(Some(port))) => Error::already_bound("associating", port),
            _ => error,
        }
    })
}

/// The token that a socket is associated with.
///
/// # Errors
///
/// Only those that all functions here have.
pub fn associated(socket: impl AsSocket) -> Result<Option<Token>, Error> {
    get(
        socket.as_fd(),
        abi::PORTKEEP_ASSOCIATE,
        "asking the socket for its reservation",
    )
    .map(Token::from_raw)
}

/// Makes this process the owner of the reservation `token` that `socket` acquired, here or in
/// another process.
///
/// # Errors
///
/// [`ErrorKind::NotOwner`] if another socket acquired it; [`ErrorKind::UnknownToken`];
/// [`ErrorKind::Quota`] if it is more than the quota of this process's user has left.
pub fn claim(socket: impl AsSocket, token: Token) -> Result<(), Error> {
    set_token(socket.as_fd(), abi::PORTKEEP_CLAIM, "claiming", token).map_err(|error| {
        match error.kind() {
            ErrorKind::NotOwner => Error::new(
                ErrorKind::NotOwner,
                libc::EACCES,
                format!("claiming is refused: another socket acquired reservation {token}"),
            ),
            _ => error,
        }
    })
}

/// What was in the way of the last refused acquire or bind on this socket; `None` if nothing was
/// refused, or if the kernel part is not there.
pub fn conflict(socket: impl AsSocket) -> Option<Conflict> {
    let socket = socket.as_fd();
    let mut conflict = recorded_conflict(socket)?;
    if let Ok(cookie) = netns::cookie_of(socket) {
        in_the_way::complete(&mut conflict, cookie);
    }
    Some(conflict)
}

/// The version of the kernel ABI that answers, [`abi::PORTKEEP_ABI_VERSION`] or a later one.
///
/// # Errors
///
/// Only those that all functions here have.
pub fn version(socket: impl AsSocket) -> Result<u32, Error> {
    option::version_by(socket.as_fd())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;

    #[test]
    fn what_needs_no_kernel_part_to_be_refused() -> Result<(), Box<dyn std::error::Error>> {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        for (start, count) in [(0, 0), (5, 0), (65535, 2)] {
            let error = acquire(&socket, start, count, Consumers::ASSOCIATED, 0)
                .expect_err("an impossible range");
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            assert_eq!(error.errno(), Some(libc::EINVAL));
        }
        Ok(())
    }

    #[test]
    fn a_file_is_no_socket() -> Result<(), Box<dyn std::error::Error>> {
        let file = std::fs::File::open("/dev/null")?;
        let token = Token::from_raw(1).expect("not 0");
        for error in [
            acquire(&file, 0, 1, Consumers::ASSOCIATED, 0).expect_err("acquire"),
            release(&file, token).expect_err("release"),
            associate(&file, token).expect_err("associate"),
            associated(&file).expect_err("associated"),
            claim(&file, token).expect_err("claim"),
            version(&file).expect_err("version"),
        ] {
            assert_eq!(error.kind(), ErrorKind::NotASocket, "{error}");
            assert_eq!(error.errno(), Some(libc::ENOTSOCK));
        }
        assert_eq!(conflict(&file), None);
        Ok(())
    }
}
