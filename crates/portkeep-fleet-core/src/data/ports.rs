use std::fmt;

use portkeep::PortRange;
use serde::{Deserialize, Serialize};

const MAX_RANGES: usize = 64;

/// The ports of a reservation: 1 to 64 ranges that have no port in common.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "Vec<String>", into = "Vec<String>")]
pub struct Ports(Vec<PortRange>);

impl Ports {
    /// These ranges, in ascending order.
    ///
    /// # Errors
    ///
    /// If there are none, more than 64, or two with a port in common.
    pub fn new(mut ranges: Vec<PortRange>) -> Result<Ports, ParsePortsError> {
        ranges.sort_unstable();
        let common = ranges.windows(2).any(|pair| overlap(pair[0], pair[1]));
        if ranges.is_empty() || ranges.len() > MAX_RANGES || common {
            return Err(ParsePortsError);
        }
        Ok(Ports(ranges))
    }

    /// The ranges.
    pub fn ranges(&self) -> &[PortRange] {
        &self.0
    }

    /// How many there are.
    pub fn count(&self) -> u32 {
        self.0.iter().map(|range| u32::from(range.count())).sum()
    }

    /// What is left of them without these, in ascending order. It may be nothing, or more than 64 ranges.
    pub fn without(&self, cut: &Ports) -> Vec<PortRange> {
        let whole = self.0.clone();
        cut.0.iter().fold(whole, |left, cut| {
            left.into_iter()
                .flat_map(|range| without(range, *cut))
                .collect()
        })
    }

    /// Whether a port is in both.
    pub fn overlaps(&self, other: &Ports) -> bool {
        let mut pairs = self
            .0
            .iter()
            .flat_map(|a| other.0.iter().map(move |b| (a, b)));
        pairs.any(|(a, b)| overlap(*a, *b))
    }
}

fn overlap(a: PortRange, b: PortRange) -> bool {
    a.protocol() == b.protocol() && a.start() <= b.end() && b.start() <= a.end()
}

fn without(whole: PortRange, cut: PortRange) -> impl Iterator<Item = PortRange> {
    let meet = overlap(whole, cut);
    let part =
        |start: Option<u16>, end: Option<u16>| PortRange::new(whole.protocol(), start?, end?).ok();
    let parts = match meet {
        true => [
            part(Some(whole.start()), cut.start().checked_sub(1)),
            part(cut.end().checked_add(1), Some(whole.end())),
        ],
        false => [Some(whole), None],
    };
    parts.into_iter().flatten()
}

impl From<PortRange> for Ports {
    fn from(range: PortRange) -> Ports {
        Ports(vec![range])
    }
}

/// Not 1 to 64 port ranges without a port in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParsePortsError;

impl fmt::Display for ParsePortsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("expected 1 to 64 port ranges without a port in common, as 61000-61063/tcp")
    }
}

impl std::error::Error for ParsePortsError {}

impl TryFrom<Vec<String>> for Ports {
    type Error = ParsePortsError;

    fn try_from(texts: Vec<String>) -> Result<Ports, ParsePortsError> {
        let ranges = texts.iter().map(|text| text.parse());
        let ranges: Result<Vec<PortRange>, _> = ranges.collect();
        Ports::new(ranges.map_err(|_| ParsePortsError)?)
    }
}

impl From<Ports> for Vec<String> {
    fn from(ports: Ports) -> Vec<String> {
        ports.0.iter().map(PortRange::to_string).collect()
    }
}

impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, range) in self.0.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            write!(f, "{comma}{range}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ports(text: &str) -> Ports {
        let ranges = text.split(',').map(|it| it.parse().expect("a range"));
        Ports::new(ranges.collect()).expect("ports")
    }

    #[test]
    fn what_is_left() {
        for (whole, cut, left) in [
            ("10-20/tcp", "10-20/tcp", ""),
            ("10-20/tcp", "10-15/tcp,16-65535/tcp", ""),
            ("10-20/tcp", "1-12/tcp,15/tcp", "13-14/tcp,16-20/tcp"),
            ("10-20/tcp", "10-20/udp", "10-20/tcp"),
            ("1/tcp,65535/tcp", "65535/tcp", "1/tcp"),
            ("5/tcp,9/udp", "5/udp,9/tcp", "5/tcp,9/udp"),
        ] {
            let found = ports(whole).without(&ports(cut));
            let found: Vec<String> = found.iter().map(PortRange::to_string).collect();
            assert_eq!(found.join(","), left, "{whole} without {cut}");
        }
        assert_eq!(ports("1-65535/tcp,1-65535/udp").count(), 131_070);
    }
}
