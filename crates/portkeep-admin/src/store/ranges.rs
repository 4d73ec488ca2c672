//! Many port ranges at once: thousands of declared entries are compared with thousands of others.

use std::collections::BTreeSet;

use portkeep::{PortRange, Protocol};

use crate::store::kernel::overlap;
use crate::store::port_set::PortSet;

/// Ranges of which no two overlap, found by their ports.
#[derive(Debug, Default)]
pub struct Ranges(BTreeSet<PortRange>);

impl FromIterator<PortRange> for Ranges {
    fn from_iter<I: IntoIterator<Item = PortRange>>(ranges: I) -> Self {
        Self(ranges.into_iter().collect())
    }
}

impl Ranges {
    /// Whether this is one of them.
    pub fn has(&self, ports: PortRange) -> bool {
        self.0.contains(&ports)
    }

    /// Those that have ports in common with a range, the last one first.
    pub fn overlapping(&self, ports: PortRange) -> impl Iterator<Item = PortRange> {
        // As none overlap, their ends ascend as their starts do.
        let last = PortRange::new(ports.protocol(), ports.end(), u16::MAX).unwrap_or(ports);
        let before = self.0.range(..=last).rev().copied();
        before.take_while(move |range| overlap(*range, ports).is_some())
    }
}

/// Ports of both protocols.
#[derive(Clone, Debug)]
pub struct Ports([PortSet; 2]);

impl Ports {
    pub fn of(&self, protocol: Protocol) -> &PortSet {
        &self.0[index(protocol)]
    }

    /// Whether one of the ports of a range is among them.
    pub fn meet(&self, ports: PortRange) -> bool {
        self.of(ports.protocol()).meets(ports)
    }
}

impl FromIterator<PortRange> for Ports {
    fn from_iter<I: IntoIterator<Item = PortRange>>(ranges: I) -> Self {
        let mut sets = [PortSet::new(), PortSet::new()];
        for ports in ranges {
            sets[index(ports.protocol())].insert(ports.start()..=ports.end());
        }
        Self(sets)
    }
}

fn index(protocol: Protocol) -> usize {
    match protocol {
        Protocol::Tcp => 0,
        Protocol::Udp => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(text: &str) -> PortRange {
        text.parse().expect("a range")
    }

    #[test]
    fn overlapping_ones() {
        let some = ["10-20/tcp", "21/tcp", "30-65535/tcp", "15-40/udp"];
        let ranges: Ranges = some.map(range).into_iter().collect();
        for (asked, expected) in [
            ("1-9/tcp", &[][..]),
            ("1-10/tcp", &["10-20/tcp"]),
            ("20-21/tcp", &["21/tcp", "10-20/tcp"]),
            ("22-29/tcp", &[]),
            ("1-65535/tcp", &["30-65535/tcp", "21/tcp", "10-20/tcp"]),
            ("40/udp", &["15-40/udp"]),
            ("41/udp", &[]),
        ] {
            let found: Vec<_> = ranges.overlapping(range(asked)).collect();
            let expected: Vec<_> = expected.iter().map(|it| range(it)).collect();
            assert_eq!(found, expected, "{asked}");
        }
        assert!(ranges.has(range("21/tcp")) && !ranges.has(range("10-21/tcp")));
        let ports: Ports = some.map(range).into_iter().collect();
        assert!(ports.meet(range("20-29/tcp")) && !ports.meet(range("22-29/tcp")));
        assert!(!ports.meet(range("10-14/udp")) && ports.meet(range("1-15/udp")));
    }
}
