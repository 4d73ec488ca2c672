//! Sets of port numbers, as `ip_local_reserved_ports` has them.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use portkeep::PortRange;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

const WORDS: usize = 65536 / 64;

/// A set of port numbers.
///
/// It is written as the kernel writes `ip_local_reserved_ports`: `8080,9000-9010`, and nothing for
/// the empty set.
#[derive(Clone, PartialEq, Eq)]
pub struct PortSet(Box<[u64; WORDS]>);

impl PortSet {
    /// The empty set.
    pub fn new() -> PortSet {
        PortSet(Box::new([0; WORDS]))
    }

    /// Adds the ports of a range.
    pub fn insert(&mut self, ports: RangeInclusive<u16>) {
        for port in ports {
            self.0[usize::from(port / 64)] |= 1 << (port % 64);
        }
    }

    /// Whether a port is in the set.
    pub fn contains(&self, port: u16) -> bool {
        self.0[usize::from(port / 64)] & 1 << (port % 64) != 0
    }

    /// Whether one of the ports of a range is in the set.
    pub(crate) fn meets(&self, range: PortRange) -> bool {
        range.ports().any(|port| self.contains(port))
    }

    /// Whether no port is in the set.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    /// How many ports are in the set.
    pub fn len(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// The ports of either set.
    pub fn union(&self, other: &PortSet) -> PortSet {
        self.with(other, |one, other| one | other)
    }

    /// The ports of both sets.
    pub fn intersection(&self, other: &PortSet) -> PortSet {
        self.with(other, |one, other| one & other)
    }

    /// The ports of this set that the other lacks.
    pub fn difference(&self, other: &PortSet) -> PortSet {
        self.with(other, |one, other| one & !other)
    }

    /// Whether the other set has all ports of this one.
    pub fn is_subset(&self, other: &PortSet) -> bool {
        self.difference(other).is_empty()
    }

    fn with(&self, other: &PortSet, combine: impl Fn(u64, u64) -> u64) -> PortSet {
        let mut set = self.clone();
        for (word, other) in set.0.iter_mut().zip(other.0.iter()) {
            *word = combine(*word, *other);
        }
        set
    }

    /// The set as the fewest ranges, in ascending order.
    pub fn ranges(&self) -> Vec<RangeInclusive<u16>> {
        let mut ranges: Vec<RangeInclusive<u16>> = Vec::new();
        for port in (0..=u16::MAX).filter(|port| self.contains(*port)) {
            match ranges.last_mut() {
                Some(last) if last.end().checked_add(1) == Some(port) => {
                    *last = *last.start()..=port;
                }
                _ => ranges.push(port..=port),
            }
        }
        ranges
    }
}

impl Default for PortSet {
    fn default() -> PortSet {
        PortSet::new()
    }
}

impl From<RangeInclusive<u16>> for PortSet {
    fn from(ports: RangeInclusive<u16>) -> PortSet {
        let mut set = PortSet::new();
        set.insert(ports);
        set
    }
}

impl fmt::Display for PortSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, range) in self.ranges().into_iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            match (range.start(), range.end()) {
                (start, end) if start == end => write!(f, "{comma}{start}")?,
                (start, end) => write!(f, "{comma}{start}-{end}")?,
            }
        }
        Ok(())
    }
}

impl fmt::Debug for PortSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{{self}}}")
    }
}

impl FromStr for PortSet {
    type Err = String;

    fn from_str(text: &str) -> Result<PortSet, String> {
        let mut set = PortSet::new();
        for part in text.trim().split(',').filter(|part| !part.is_empty()) {
            let (start, end) = part.split_once('-').unwrap_or((part, part));
            match (start.parse(), end.parse()) {
                (Ok(start), Ok(end)) if start <= end => set.insert(start..=end),
                _ => return Err(format!("'{part}' is neither a port nor a range of ports")),
            }
        }
        Ok(set)
    }
}

impl Serialize for PortSet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PortSet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<PortSet, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn set(text: &str) -> PortSet {
        text.parse().expect("a set")
    }

    #[test]
    fn text() {
        assert_eq!(
            set("8081,8080,9000-9010\n").to_string(),
            "8080-8081,9000-9010"
        );
        assert_eq!(set("0,65535").ranges(), [0..=0, 65535..=65535]);
        assert_eq!(set("").to_string(), "");
        assert_eq!(set("0-65535").len(), 65536);
        for text in ["x", "1-", "5-4", "65536", "1 2"] {
            assert!(text.parse::<PortSet>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn combined() {
        let (one, other) = (set("10-20"), set("15-30"));
        assert_eq!(one.union(&other), set("10-30"));
        assert_eq!(one.intersection(&other), set("15-20"));
        assert_eq!(one.difference(&other), set("10-14"));
        assert!(set("15-20").is_subset(&one) && !other.is_subset(&one));
    }

    proptest! {
        #[test]
        fn round_trip(ports: Vec<u16>) {
            let mut set = PortSet::new();
            ports.iter().for_each(|port| set.insert(*port..=*port));
            prop_assert_eq!(set.to_string().parse(), Ok(set.clone()));
            prop_assert!(ports.iter().all(|port| set.contains(*port)));
        }
    }
}
