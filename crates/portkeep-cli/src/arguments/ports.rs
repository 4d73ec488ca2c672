//! The options that ask for ports: `--tcp`, `--udp` and `--both`.

use std::num::NonZeroU16;
use std::ops::RangeInclusive;
use std::str::FromStr;

use clap::Args;

/// The ports that a command gets.
#[derive(Debug, Args)]
#[command(next_help_heading = "Ports")]
pub struct PortsArgument {
    /// TCP ports: N from any free block, or exactly A to B
    ///
    /// A single number is a count, not a port: for port 8080 alone write 8080-8080. Can be repeated;
    /// the command gets all of the ports or none.
    #[arg(long, value_name = "N|A-B")]
    pub tcp: Vec<Block>,
    /// UDP ports, in the same way
    #[arg(long, value_name = "N|A-B")]
    pub udp: Vec<Block>,
    /// The same port numbers for TCP and UDP
    #[arg(long, value_name = "N|A-B")]
    pub both: Vec<Block>,
}

/// The names of the options, for commands that need one of them.
pub const OPTIONS: [&str; 3] = ["tcp", "udp", "both"];

/// A contiguous block of ports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Block {
    /// A number of ports from any free block.
    Any(NonZeroU16),
    /// Exactly these ports.
    Exactly(RangeInclusive<u16>),
}

impl FromStr for Block {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let Some((start, end)) = text.split_once('-') else {
            return text
                .parse()
                .map(Self::Any)
                .map_err(|_| "expected a number of ports (1 to 65535) or a range A-B".to_owned());
        };
        let start = port(start)?;
        let end = port(end)?;
        if end < start {
            return Err(format!(
                "the range ends at {end}, before its start at {start}"
            ));
        }
        Ok(Self::Exactly(start..=end))
    }
}

/// Reads a port number from 1 to 65535.
pub fn port(text: &str) -> Result<u16, String> {
    text.parse::<NonZeroU16>()
        .map(NonZeroU16::get)
        .map_err(|_| format!("'{text}' is not a port number from 1 to 65535"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_counts_and_ranges() {
        assert_eq!(
            "3".parse(),
            NonZeroU16::new(3).map(Block::Any).ok_or_else(String::new)
        );
        assert_eq!("8080-8080".parse(), Ok(Block::Exactly(8080..=8080)));
        assert_eq!("1-65535".parse(), Ok(Block::Exactly(1..=65535)));
    }

    #[test]
    fn refuses_everything_else() {
        for text in [
            "", "0", "-", "0-5", "5-", "-5", "9-8", "65536", "1-65536", "1-2-3", "x",
        ] {
            assert!(text.parse::<Block>().is_err(), "{text:?} was accepted");
        }
    }
}
