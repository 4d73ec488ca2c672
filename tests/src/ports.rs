//! Which ports are reserved, as the kernel part lists them, and which are free, as bind(2) says.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::RangeInclusive;

use crate::reservations::{Protocol, list};
use crate::{Sandbox, sock};

/// The reserved ports of one network namespace. Two maps compare; printed, they are ranges.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct PortMap {
    tcp: BTreeSet<u16>,
    udp: BTreeSet<u16>,
}

/// The ports that are reserved in the calling thread's network namespace. Panics if two
/// reservations have a port in common, which never may be.
#[must_use]
pub fn map(sandbox: &Sandbox) -> PortMap {
    let netns = sock::netns_cookie(sock::udp4());
    let mut map = PortMap::default();
    for reservation in list(sandbox)
        .into_iter()
        .filter(|entry| entry.netns == netns)
    {
        for port in reservation.ports.clone() {
            let new = map.of(reservation.protocol).insert(port);
            assert!(
                new,
                "port {port} is reserved twice, the second time by {reservation:?}"
            );
        }
    }
    map
}

impl PortMap {
    /// The map of exactly these ranges.
    pub fn new(ranges: impl IntoIterator<Item = (Protocol, RangeInclusive<u16>)>) -> Self {
        let mut map = Self::default();
        for (protocol, ports) in ranges {
            map.of(protocol).extend(ports);
        }
        map
    }

    /// The reserved ports of a protocol.
    #[must_use]
    pub fn ports(&self, protocol: Protocol) -> &BTreeSet<u16> {
        match protocol {
            Protocol::Tcp => &self.tcp,
            Protocol::Udp => &self.udp,
        }
    }

    /// Whether a port is reserved.
    #[must_use]
    pub fn contains(&self, protocol: Protocol, port: u16) -> bool {
        self.ports(protocol).contains(&port)
    }

    /// The reserved ports of a protocol as the fewest ranges.
    #[must_use]
    pub fn ranges(&self, protocol: Protocol) -> Vec<RangeInclusive<u16>> {
        let mut ranges: Vec<RangeInclusive<u16>> = Vec::new();
        for &port in self.ports(protocol) {
            match ranges.last_mut() {
                Some(last) if *last.end() + 1 == port => *last = *last.start()..=port,
                _ => ranges.push(port..=port),
            }
        }
        ranges
    }

    fn of(&mut self, protocol: Protocol) -> &mut BTreeSet<u16> {
        match protocol {
            Protocol::Tcp => &mut self.tcp,
            Protocol::Udp => &mut self.udp,
        }
    }
}

impl fmt::Debug for PortMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PortMap")
            .field("tcp", &self.ranges(Protocol::Tcp))
            .field("udp", &self.ranges(Protocol::Udp))
            .finish()
    }
}

/// Binds a plain dual-stack wildcard socket to each port, one after the other, and returns those
/// that could not be bound, with the errno. Empty means that all are really free.
#[must_use]
pub fn probe_free(protocol: Protocol, ports: RangeInclusive<u16>) -> Vec<(u16, i32)> {
    let refused = |port| {
        let socket = match protocol {
            Protocol::Tcp => sock::tcp6(),
            Protocol::Udp => sock::udp6(),
        };
        sock::v6only(&socket, false);
        sock::bind_any(&socket, port)
            .err()
            .map(|errno| (port, errno))
    };
    ports.filter_map(refused).collect()
}

#[cfg(test)]
mod tests {
    use super::{PortMap, Protocol};

    #[test]
    fn joins_neighbours() {
        let map = PortMap::new([(Protocol::Udp, 5..=6), (Protocol::Udp, 7..=7)]);
        assert_eq!(map.ranges(Protocol::Udp), [5..=7]);
        assert!(map.contains(Protocol::Udp, 6) && !map.contains(Protocol::Tcp, 6));
        let last = PortMap::new([(Protocol::Tcp, 65534..=65535)]);
        assert_eq!(last.ranges(Protocol::Tcp), [65534..=65535]);
    }
}
