//! The option `--pool`: which ports the server hands out.

use std::ops::RangeInclusive;
use std::str::FromStr;

use crate::arguments::ports::port;
use crate::output::say;

/// Ranges, separated by commas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolArgument(Vec<RangeInclusive<u16>>);

/// As portserver does, skips parts that are none; but there must be one.
impl FromStr for PoolArgument {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut ranges = Vec::new();
        for part in text.split(',') {
            match range(part.trim()) {
                Ok(range) => ranges.push(range),
                Err(reason) => say(&format!("'{part}' is left out of the pool: {reason}")),
            }
        }
        match ranges.is_empty() {
            true => Err("no range of ports such as 15000-24999 is in it".to_owned()),
            false => Ok(Self(ranges)),
        }
    }
}

fn range(text: &str) -> Result<RangeInclusive<u16>, String> {
    let (start, end) = text.split_once('-').unwrap_or((text, text));
    let (start, end) = (port(start.trim())?, port(end.trim())?);
    match start <= end {
        true => Ok(start..=end),
        false => Err(format!("it ends at {end}, before its start at {start}")),
    }
}

impl PoolArgument {
    /// Every port once.
    pub fn ports(&self) -> Vec<u16> {
        let mut seen = std::collections::HashSet::new();
        let all = self.0.iter().cloned().flatten();
        all.filter(|port| seen.insert(*port)).collect()
    }
}

/// The one that portserver has by itself.
impl Default for PoolArgument {
    fn default() -> Self {
        Self(vec![15000..=24999])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_ranges() {
        let pool: PoolArgument = "10-12, 12-13,x,9-8,20".parse().expect("a pool");
        assert_eq!(pool.ports(), [10, 11, 12, 13, 20]);
        for text in ["", "x", "0-5", "9-8", "1-65536"] {
            assert!(text.parse::<PoolArgument>().is_err(), "{text}");
        }
    }
}
