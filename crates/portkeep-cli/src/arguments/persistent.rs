//! The argument that names ports of persistent reservations and exclusions.

use std::str::FromStr;

use portkeep::{PortRange, Protocol};

use crate::arguments::ports::port;

/// `A-B/tcp`, `A-B/udp` or `A-B/both`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PersistentBlock {
    /// The same numbers in each protocol.
    pub ranges: Vec<PortRange>,
}

/// `tcp`, `udp` or `both`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Protocols(pub Vec<Protocol>);

impl FromStr for PersistentBlock {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (ports, protocols) = text
            .split_once('/')
            .ok_or_else(|| format!("write {text}/tcp, {text}/udp or {text}/both"))?;
        let Protocols(protocols) = protocols.parse()?;
        let (start, end) = ports.split_once('-').unwrap_or((ports, ports));
        let (start, end) = (port(start)?, port(end)?);
        let ranges = protocols
            .into_iter()
            .map(|protocol| PortRange::new(protocol, start, end))
            .collect::<Result<_, _>>()
            .map_err(|_| format!("the range ends at {end}, before its start {start}"))?;
        Ok(Self { ranges })
    }
}

impl FromStr for Protocols {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "tcp" => Ok(Self(vec![Protocol::Tcp])),
            "udp" => Ok(Self(vec![Protocol::Udp])),
            "both" => Ok(Self(vec![Protocol::Tcp, Protocol::Udp])),
            _ => Err(format!("'{text}' is no protocol; write tcp, udp or both")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_blocks() {
        let ranges = |text: &str| {
            let block: PersistentBlock = text.parse().expect("a block");
            block
                .ranges
                .iter()
                .map(PortRange::to_string)
                .collect::<Vec<_>>()
        };
        assert_eq!(ranges("80/tcp"), ["80/tcp"]);
        assert_eq!(ranges("1-65535/udp"), ["1-65535/udp"]);
        assert_eq!(ranges("5004-5005/both"), ["5004-5005/tcp", "5004-5005/udp"]);
    }

    #[test]
    fn refuses_what_is_no_block() {
        for text in [
            "",
            "/",
            "80",
            "80/",
            "/tcp",
            "0/tcp",
            "0-5/tcp",
            "5-/tcp",
            "-5/tcp",
            "9-8/tcp",
            "1-65536/tcp",
            "1-2-3/tcp",
            "80/sctp",
            "80/TCP",
            "80/tcp/udp",
            " 80/tcp",
        ] {
            assert!(
                text.parse::<PersistentBlock>().is_err(),
                "{text:?} was taken"
            );
        }
    }
}
