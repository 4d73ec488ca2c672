//! What the calls to the kernel part have in common: they are socket options.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use crate::sys;
use crate::types::abi::{self, SOL_PORTKEEP};
use crate::types::{Conflict, Error, ErrorKind, PortRange, Protocol, Token};

// SAFETY: abi.rs asserts the size and every offset, so there is no padding; all fields are integers.
unsafe impl sys::Plain for abi::AcquireRequest {}
// SAFETY: as above.
unsafe impl sys::Plain for abi::Instance {}
// SAFETY: as above.
unsafe impl sys::Plain for abi::ConflictRecord {}
// SAFETY: as above.
unsafe impl sys::Plain for abi::ConsumerRecord {}
// SAFETY: as above.
unsafe impl sys::Plain for abi::DeleteRequest {}
// SAFETY: as above.
unsafe impl sys::Plain for abi::Range {}
// SAFETY: as above.
unsafe impl sys::Plain for abi::Heir {}

pub(crate) fn get<T: sys::Plain>(
    socket: BorrowedFd<'_>,
    option: i32,
    doing: &str,
) -> Result<T, Error> {
    sys::get_option(socket, SOL_PORTKEEP, option).map_err(|error| {
        // Without the kernel part Linux answers getsockopt on an IPv4 socket, and on no other, with
        // EOPNOTSUPP instead of ENOPROTOOPT (do_ip_getsockopt in net/ipv4/ip_sockglue.c).
        match error.raw_os_error() {
            Some(libc::EOPNOTSUPP) if protocol_of(socket).is_ok() => {
                Error::from_call(doing, io::Error::from_raw_os_error(libc::ENOPROTOOPT))
            }
            _ => Error::from_call(doing, error),
        }
    })
}

pub(crate) fn set_token(
    socket: BorrowedFd<'_>,
    option: i32,
    doing: &str,
    token: Token,
) -> Result<(), Error> {
    sys::set_option(socket, SOL_PORTKEEP, option, &token.as_raw())
        .map_err(|error| Error::from_token_call(doing, error, token))
}

pub(crate) fn recorded_conflict(socket: BorrowedFd<'_>) -> Option<Conflict> {
    let record = sys::get_option(socket, SOL_PORTKEEP, abi::PORTKEEP_CONFLICT).ok()?;
    Conflict::from_record(&record)
}

/// What a successful call has given.
pub(crate) fn decode(
    instance: abi::Instance,
    protocol: Protocol,
    doing: &str,
) -> Result<(PortRange, Token), Error> {
    PortRange::with_count(protocol, instance.range.start.get(), instance.range.count)
        .ok()
        .zip(Token::from_raw(instance.token))
        .ok_or_else(|| Error::new(ErrorKind::Io, None, format!("{doing} failed: {instance:?}")))
}

/// The protocol of a socket (`SO_PROTOCOL`), which a raw one does not speak (`SO_TYPE`).
pub(crate) fn protocol_of(socket: BorrowedFd<'_>) -> Result<Protocol, Error> {
    let ask = |option| {
        sys::get_option::<i32>(socket, libc::SOL_SOCKET, option)
            .map_err(|error| Error::from_call("asking the socket for its protocol", error))
    };
    let (number, kind) = (ask(libc::SO_PROTOCOL)?, ask(libc::SO_TYPE)?);
    Protocol::from_number(number)
        .filter(|protocol| protocol.socket_type() == kind)
        .ok_or_else(|| {
            Error::new(
                ErrorKind::NotSupportedSocket,
                libc::EOPNOTSUPP,
                "not a TCP or UDP socket",
            )
        })
}

/// A socket to acquire with. One record covers both families; IPv6 is for hosts without IPv4.
pub(crate) fn acquiring_socket(protocol: Protocol) -> Result<OwnedFd, Error> {
    let open = |family| sys::socket(family, protocol.socket_type(), protocol.number());
    open(libc::AF_INET)
        .or_else(|error| match error.raw_os_error() {
            Some(libc::EAFNOSUPPORT) => open(libc::AF_INET6),
            _ => Err(error),
        })
        .map_err(|error| Error::from_call("making a socket", error))
}

/// The version of the kernel ABI that answers this process.
///
/// # Errors
///
/// [`ErrorKind::NotEnabled`] if the kernel part is not there, or does not serve this process's
/// cgroup; [`ErrorKind::Io`] if no socket can be made. On systems other than Linux
/// [`ErrorKind::NotSupported`].
pub fn version() -> Result<u32, Error> {
    version_by(acquiring_socket(Protocol::Udp)?.as_fd())
}

pub(crate) fn version_by(socket: BorrowedFd<'_>) -> Result<u32, Error> {
    get(
        socket,
        abi::PORTKEEP_VERSION,
        "asking for Portkeep's version",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_sockets() -> Result<(), Box<dyn std::error::Error>> {
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        assert_eq!(protocol_of(listener.as_fd())?, Protocol::Tcp);
        let socket = std::net::UdpSocket::bind("127.0.0.1:0")?;
        assert_eq!(protocol_of(socket.as_fd())?, Protocol::Udp);
        Ok(())
    }

    #[test]
    fn of_others() -> Result<(), Box<dyn std::error::Error>> {
        let unix = std::os::unix::net::UnixDatagram::unbound()?;
        let error = protocol_of(unix.as_fd()).expect_err("a unix socket has no port");
        assert_eq!(error.kind(), ErrorKind::NotSupportedSocket);
        assert_eq!(error.errno(), Some(libc::EOPNOTSUPP));
        let file = std::fs::File::open("/dev/null")?;
        let error = protocol_of(file.as_fd()).expect_err("a file is not a socket");
        assert_eq!(error.kind(), ErrorKind::NotASocket);
        assert_eq!(error.errno(), Some(libc::ENOTSOCK));
        Ok(())
    }
}
