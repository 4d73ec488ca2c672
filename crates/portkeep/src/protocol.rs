use std::ffi::c_int;
use std::fmt;
#[cfg(target_os = "linux")]
use std::os::fd::BorrowedFd;
use std::str::FromStr;

#[cfg(target_os = "linux")]
use crate::error::{Error, ErrorKind};
use crate::port_range::ParseError;
#[cfg(target_os = "linux")]
use crate::sys;
#[cfg(windows)]
use crate::windows::number as libc;

/// A transport protocol with ports. Each has a port space of its own in every network namespace.
///
/// It is written `tcp` or `udp`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// TCP, [`tcp(7)`](https://man7.org/linux/man-pages/man7/tcp.7.html)
    Tcp,
    /// UDP, [`udp(7)`](https://man7.org/linux/man-pages/man7/udp.7.html)
    Udp,
}

impl Protocol {
    /// The protocol's number in an IP header, `IPPROTO_TCP` or `IPPROTO_UDP`.
    pub const fn number(self) -> i32 {
        match self {
            Protocol::Tcp => libc::IPPROTO_TCP,
            Protocol::Udp => libc::IPPROTO_UDP,
        }
    }

    #[cfg(target_os = "linux")]
    pub(crate) fn from_number(number: i32) -> Option<Protocol> {
        [Protocol::Tcp, Protocol::Udp]
            .into_iter()
            .find(|protocol| protocol.number() == number)
    }

    /// `SOCK_STREAM` or `SOCK_DGRAM`
    pub(crate) const fn socket_type(self) -> c_int {
        match self {
            Protocol::Tcp => libc::SOCK_STREAM,
            Protocol::Udp => libc::SOCK_DGRAM,
        }
    }

    /// The protocol of a socket (`SO_PROTOCOL`), which a raw one does not speak (`SO_TYPE`).
    #[cfg(target_os = "linux")]
    pub(crate) fn of(socket: BorrowedFd<'_>) -> Result<Protocol, Error> {
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
                    "the socket is neither a TCP nor a UDP one",
                )
            })
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
        })
    }
}

impl FromStr for Protocol {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Protocol, ParseError> {
        match text {
            "tcp" => Ok(Protocol::Tcp),
            "udp" => Ok(Protocol::Udp),
            _ => Err(ParseError::Protocol),
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn text() {
        assert_eq!("tcp".parse(), Ok(Protocol::Tcp));
        assert_eq!("udp".parse(), Ok(Protocol::Udp));
        assert_eq!("TCP".parse::<Protocol>(), Err(ParseError::Protocol));
        assert_eq!(
            format!("{:>4}|{}", Protocol::Tcp, Protocol::Udp),
            " tcp|udp"
        );
    }

    #[test]
    fn of_sockets() -> Result<(), Box<dyn std::error::Error>> {
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        assert_eq!(Protocol::of(listener.as_fd())?, Protocol::Tcp);
        let socket = std::net::UdpSocket::bind("127.0.0.1:0")?;
        assert_eq!(Protocol::of(socket.as_fd())?, Protocol::Udp);
        Ok(())
    }

    #[test]
    fn of_others() -> Result<(), Box<dyn std::error::Error>> {
        let unix = std::os::unix::net::UnixDatagram::unbound()?;
        let error = Protocol::of(unix.as_fd()).expect_err("a unix socket has no port");
        assert_eq!(error.kind(), ErrorKind::NotSupportedSocket);
        assert_eq!(error.errno(), Some(libc::EOPNOTSUPP));
        let file = std::fs::File::open("/dev/null")?;
        let error = Protocol::of(file.as_fd()).expect_err("a file is no socket");
        assert_eq!(error.kind(), ErrorKind::NotASocket);
        assert_eq!(error.errno(), Some(libc::ENOTSOCK));
        Ok(())
    }
}
