use std::fmt;
use std::str::FromStr;

use super::number;
use super::parse_error::ParseError;

/// A transport protocol with ports. Each has a port space of its own in every network namespace.
///
/// It is written `tcp` or `udp`. There is no third, and code may match on both: ports of another
/// protocol would need another kernel part.
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
            Protocol::Tcp => number::IPPROTO_TCP,
            Protocol::Udp => number::IPPROTO_UDP,
        }
    }

    #[cfg(target_os = "linux")]
    pub(crate) fn from_number(number: i32) -> Option<Protocol> {
        [Protocol::Tcp, Protocol::Udp]
            .into_iter()
            .find(|protocol| protocol.number() == number)
    }

    /// `SOCK_STREAM` or `SOCK_DGRAM`
    #[cfg(any(target_os = "linux", windows))]
    pub(crate) const fn socket_type(self) -> i32 {
        match self {
            Protocol::Tcp => number::SOCK_STREAM,
            Protocol::Udp => number::SOCK_DGRAM,
        }
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

#[cfg(test)]
mod tests {
    use super::*;

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
}
