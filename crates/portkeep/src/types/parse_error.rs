use std::fmt;

/// Why a text or a pair of numbers is not a [`Protocol`](crate::Protocol),
/// [`PortRange`](crate::PortRange), [`Token`](crate::Token),
/// [`Consumer`](crate::Consumer) or [`Entry`](crate::Entry).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ParseError {
    /// The protocol is missing, or neither `tcp` nor `udp`.
    Protocol,
    /// Not a number from 0 to 65535.
    Port,
    /// The range starts at port 0, which no socket can be bound to.
    PortZero,
    /// The range ends before it starts.
    Backwards,
    /// The range has no port.
    Empty,
    /// The range goes past port 65535.
    PastLastPort,
    /// Not a decimal number from 1 to 2⁶⁴−1.
    Token,
    /// Neither `uid:N`, `gid:N` nor `cgroup:N`.
    Consumer,
    /// The line has not the columns of the file `reservations`.
    Line,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ParseError::Protocol => "the protocol must be tcp or udp, as in 61000-61063/tcp",
            ParseError::Port => "a port must be a number from 1 to 65535",
            ParseError::PortZero => "port 0 cannot be reserved",
            ParseError::Backwards => "the port range ends before it starts",
            ParseError::Empty => "the port range is empty",
            ParseError::PastLastPort => "the port range goes past port 65535",
            ParseError::Token => "a token must be a decimal number from 1 to 2^64-1",
            ParseError::Consumer => "a consumer must be uid:N, gid:N or cgroup:N",
            ParseError::Line => "not a line of the list of reservations",
        })
    }
}

impl std::error::Error for ParseError {}
