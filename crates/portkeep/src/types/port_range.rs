use std::fmt;
use std::str::FromStr;

use super::abi;
use super::parse_error::ParseError;
use super::protocol::Protocol;

/// A run of ports of one protocol: inclusive, never empty, within 1 to 65535.
///
/// It is written as Docker writes ranges: `61000-61063/tcp`, and `61000/tcp` for one port.
///
/// ```
/// use portkeep::{PortRange, Protocol};
///
/// let range: PortRange = "61000-61063/tcp".parse()?;
/// assert_eq!(range, PortRange::with_count(Protocol::Tcp, 61000, 64)?);
/// assert!(range.contains(61063));
/// # Ok::<(), portkeep::ParseError>(())
/// ```
#[doc(alias = "INET_PORT_RANGE")]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortRange {
    protocol: Protocol,
    start: u16,
    end: u16,
}

impl PortRange {
    /// The ports from `start` to `end`, both included.
    ///
    /// # Errors
    ///
    /// [`ParseError::PortZero`], [`ParseError::Backwards`]
    pub const fn new(protocol: Protocol, start: u16, end: u16) -> Result<PortRange, ParseError> {
        if start == 0 {
            return Err(ParseError::PortZero);
        }
        if end < start {
            return Err(ParseError::Backwards);
        }
        Ok(PortRange {
            protocol,
            start,
            end,
        })
    }

    /// `count` ports from `start` on.
    ///
    /// # Errors
    ///
    /// [`ParseError::PortZero`], [`ParseError::Empty`], [`ParseError::PastLastPort`]
    pub const fn with_count(
        protocol: Protocol,
        start: u16,
        count: u16,
    ) -> Result<PortRange, ParseError> {
        if count == 0 {
            return Err(ParseError::Empty);
        }
        match start.checked_add(count - 1) {
            Some(end) => PortRange::new(protocol, start, end),
            None => Err(ParseError::PastLastPort),
        }
    }

    /// The protocol.
    pub const fn protocol(self) -> Protocol {
        self.protocol
    }

    /// The first port.
    pub const fn start(self) -> u16 {
        self.start
    }

    /// The last port.
    pub const fn end(self) -> u16 {
        self.end
    }

    /// The number of ports, at least 1.
    pub const fn count(self) -> u16 {
        self.end - self.start + 1
    }

    /// Whether `port` is one of them.
    pub const fn contains(self, port: u16) -> bool {
        self.start <= port && port <= self.end
    }

    /// The ports in ascending order.
    pub fn ports(self) -> impl DoubleEndedIterator<Item = u16> + ExactSizeIterator + Clone {
        self.start..=self.end
    }
}

impl From<PortRange> for abi::Range {
    fn from(range: PortRange) -> abi::Range {
        abi::Range {
            start: abi::Be16::new(range.start),
            count: range.count(),
        }
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.start == self.end {
            write!(f, "{}/{}", self.start, self.protocol)
        } else {
            write!(f, "{}-{}/{}", self.start, self.end, self.protocol)
        }
    }
}

impl fmt::Debug for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for PortRange {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<PortRange, ParseError> {
        let (ports, protocol) = text.split_once('/').ok_or(ParseError::Protocol)?;
        let protocol = protocol.parse()?;
        let (start, end) = ports.split_once('-').unwrap_or((ports, ports));
        PortRange::new(protocol, parse_port(start)?, parse_port(end)?)
    }
}

fn parse_port(text: &str) -> Result<u16, ParseError> {
    // Rust's parser for integers also takes a plus sign.
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(ParseError::Port);
    }
    text.parse().map_err(|_| ParseError::Port)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn limits() {
        use Protocol::Tcp;
        assert_eq!(PortRange::new(Tcp, 0, 5), Err(ParseError::PortZero));
        assert_eq!(PortRange::new(Tcp, 6, 5), Err(ParseError::Backwards));
        assert_eq!(PortRange::with_count(Tcp, 1, 0), Err(ParseError::Empty));
        assert_eq!(PortRange::with_count(Tcp, 0, 1), Err(ParseError::PortZero));
        assert_eq!(
            PortRange::with_count(Tcp, 65535, 2),
            Err(ParseError::PastLastPort)
        );
        let all = PortRange::with_count(Tcp, 1, 65535).expect("all ports");
        assert_eq!((all.start(), all.end(), all.count()), (1, 65535, 65535));
        assert_eq!(all.ports().len(), 65535);
    }

    #[test]
    fn text() {
        let one = PortRange::new(Protocol::Udp, 53, 53).expect("one port");
        assert_eq!(one.to_string(), "53/udp");
        assert_eq!("53-53/udp".parse(), Ok(one));
        for (text, error) in [
            ("53", ParseError::Protocol),
            ("53/", ParseError::Protocol),
            ("53/both", ParseError::Protocol),
            ("/tcp", ParseError::Port),
            ("-5/tcp", ParseError::Port),
            ("+5/tcp", ParseError::Port),
            (" 5/tcp", ParseError::Port),
            ("1-2-3/tcp", ParseError::Port),
            ("65536/tcp", ParseError::Port),
            ("0-5/tcp", ParseError::PortZero),
            ("9-5/tcp", ParseError::Backwards),
        ] {
            assert_eq!(text.parse::<PortRange>(), Err(error), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn round_trip(a in 1..=u16::MAX, b in 1..=u16::MAX, udp: bool) {
            let protocol = if udp { Protocol::Udp } else { Protocol::Tcp };
            let range = PortRange::new(protocol, a.min(b), a.max(b))?;
            prop_assert_eq!(range.to_string().parse(), Ok(range));
            prop_assert_eq!(PortRange::with_count(protocol, range.start(), range.count()), Ok(range));
        }

        #[test]
        fn any_text(text in "\\PC*") {
            if let Ok(range) = text.parse::<PortRange>() {
                prop_assert!(1 <= range.start() && range.start() <= range.end());
            }
        }

        #[test]
        fn contains_its_ports(start in 1..=u16::MAX, count in 1..=64_u16, port: u16) {
            if let Ok(range) = PortRange::with_count(Protocol::Tcp, start, count) {
                prop_assert_eq!(range.contains(port), range.ports().any(|one| one == port));
                prop_assert_eq!(range.ports().len(), usize::from(count));
            }
        }
    }
}
