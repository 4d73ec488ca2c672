//! The argument that names ports of persistent reservations and exclusions.

use std::str::FromStr;

use portkeep::{PortRange, Protocol};

use crate::arguments::ports::port;
use crate::error::{Error, Result};

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

    fn from_str(text: &str) -> Result<Self, String> {
        let (ports, protocols) = text
            .split_once('/')
            .ok_or_else(|| match text.parse::<u16>() {
                Ok(_) => format!("write {text}/tcp, {text}/udp or {text}/both"),
                Err(_) => "write ports and protocol, as in 80/tcp or 10000-20000/udp".to_owned(),
            })?;
        let Protocols(protocols) = protocols.to_ascii_lowercase().parse()?;
        let (start, end) = ports.split_once('-').unwrap_or((ports, ports));
        let (start, end) = (port(start)?, port(end)?);
        let ranges = protocols
            .into_iter()
            .map(|protocol| PortRange::new(protocol, start, end))
            .collect::<Result<_, _>>()
            .map_err(|_| format!("the range ends at {end}, before its start at {start}"))?;
        Ok(Self { ranges })
    }
}

/// The ranges of several blocks, none twice.
pub fn ranges<'a>(blocks: impl IntoIterator<Item = &'a PersistentBlock>) -> Result<Vec<PortRange>> {
    let mut ranges: Vec<PortRange> = Vec::new();
    for range in blocks.into_iter().flat_map(|block| &block.ranges) {
        let overlaps = |it: &&PortRange| {
            it.protocol() == range.protocol()
                && it.start() <= range.end()
                && range.start() <= it.end()
        };
        match ranges.iter().find(overlaps) {
            None => ranges.push(*range),
            Some(same) if same == range => {}
            Some(other) => return Err(Error::usage(format!("{other} and {range} overlap"))),
        }
    }
    Ok(ranges)
}

impl FromStr for Protocols {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "tcp" => Ok(Self(vec![Protocol::Tcp])),
            "udp" => Ok(Self(vec![Protocol::Udp])),
            "both" => Ok(Self(vec![Protocol::Tcp, Protocol::Udp])),
            _ => Err(format!(
                "'{text}' is not a protocol; write tcp, udp or both"
            )),
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
        assert_eq!(ranges("80/TCP"), ["80/tcp"]);
        assert_eq!(ranges("1-65535/udp"), ["1-65535/udp"]);
        assert_eq!(ranges("5004-5005/both"), ["5004-5005/tcp", "5004-5005/udp"]);
    }

    #[test]
    fn several_blocks_do_not_overlap() {
        let ranges = |texts: &[&str]| {
            let blocks: Vec<PersistentBlock> = texts
                .iter()
                .map(|text| text.parse().expect("a block"))
                .collect();
            let ranges = super::ranges(&blocks).map_err(|error| error.to_string())?;
            Ok(ranges.iter().map(PortRange::to_string).collect::<Vec<_>>())
        };
        let both = ["5-6/both", "7/tcp", "7/tcp", "5-6/udp"];
        let all = ["5-6/tcp", "5-6/udp", "7/tcp"].map(str::to_owned);
        assert_eq!(ranges(&both), Ok(all.to_vec()));
        let error = Err("5-6/tcp and 6-8/tcp overlap".to_owned());
        assert_eq!(ranges(&["5-6/tcp", "6-8/tcp"]), error);
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
            "80/tcp/udp",
            " 80/tcp",
        ] {
            assert!(
                text.parse::<PersistentBlock>().is_err(),
                "{text:?} was accepted"
            );
        }
    }
}
