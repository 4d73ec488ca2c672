//! The options that ask for ports: `--tcp`, `--udp` and `--both`.

use std::num::NonZeroU16;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use clap::Args;
use portkeep_admin::DEFAULT_POOL;

use crate::arguments::variable_name::VariableName;

/// The ports to reserve.
#[derive(Debug, Args)]
#[command(next_help_heading = "Ports")]
pub struct PortsArgument {
    /// TCP ports: N from any free block, or exactly A to B
    ///
    /// A single number is a count, not a port: for port 8080 alone write 8080-8080. For more than 512
    /// ports write count=N. NAME= names the ports, as in WEB=2. Can be repeated; all of the ports are
    /// reserved or none.
    #[arg(long, value_name = "[NAME=]N|A-B")]
    pub tcp: Vec<PortRequest>,
    /// UDP ports, in the same way
    #[arg(long, value_name = "[NAME=]N|A-B")]
    pub udp: Vec<PortRequest>,
    /// The same port numbers for TCP and UDP
    #[arg(long, value_name = "[NAME=]N|A-B")]
    pub both: Vec<PortRequest>,
    /// For counts, take the same ports each time for this name and directory, while they are free
    ///
    /// Another directory, such as another work tree, gets other ports. If somebody else has the
    /// ports, others are taken. --verbose prints them.
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Let every process of the same user bind to the ports
    ///
    /// For processes that are started elsewhere: a running tmux server, a Gradle or Bazel daemon,
    /// rootless containers. The effective user counts, in the same user namespace. This needs
    /// the kernel part.
    #[arg(long)]
    pub same_user: bool,
    /// Wait until the ports are free, at most SECONDS
    #[arg(
        long,
        value_name = "SECONDS",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "",
        value_parser = limit
    )]
    pub wait: Option<Limit>,
}

impl PortsArgument {
    /// Whether each count could be had from the default pool at all.
    pub fn fit_into_the_pool(&self) -> bool {
        let (first, last) = DEFAULT_POOL;
        let mut requests = self.tcp.iter().chain(&self.udp).chain(&self.both);
        requests.all(|request| match request.block {
            Block::Any(count) => count.get() - 1 <= last - first,
            Block::Exactly(_) => true,
        })
    }
}

/// The names of the options, for commands that need one of them.
pub const OPTIONS: [&str; 3] = ["tcp", "udp", "both"];

/// How long to wait; `None` for as long as it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit(pub Option<Duration>);

fn limit(text: &str) -> Result<Limit, String> {
    if text.is_empty() {
        return Ok(Limit(None));
    }
    text.parse()
        .ok()
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .map(|limit| Limit(Some(limit)))
        .ok_or_else(|| "expected a number of seconds, such as 30 or 0.5".to_owned())
}

/// What one of the options asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortRequest {
    /// The variable that the ports also go into.
    pub name: Option<VariableName>,
    pub block: Block,
}

/// A contiguous block of ports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Block {
    /// A number of ports from any free block.
    Any(NonZeroU16),
    /// Exactly these ports.
    Exactly(RangeInclusive<u16>),
}

/// The highest count that is taken without a second thought: `--tcp 3000` is likely to mean the port.
const COUNT_MAX: u16 = 512;

/// What a number is written with that is a count in any case.
const COUNT: &str = "count=";

impl FromStr for PortRequest {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('=') {
            Some((name, block)) if !text.starts_with(COUNT) => Ok(Self {
                name: Some(name.parse()?),
                block: block.parse()?,
            }),
            _ => Ok(Self {
                name: None,
                block: text.parse()?,
            }),
        }
    }
}

impl FromStr for Block {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(count) = text.strip_prefix(COUNT) {
            return self::count(count).map(Self::Any);
        }
        let Some((start, end)) = text.split_once('-') else {
            let count = self::count(text)?;
            return match count.get() {
                1..=COUNT_MAX => Ok(Self::Any(count)),
                _ => Err(format!(
                    "that is a count; for port {count} itself write {count}-{count}, \
                     for so many ports write {COUNT}{count}"
                )),
            };
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

fn count(text: &str) -> Result<NonZeroU16, String> {
    text.parse()
        .map_err(|_| "expected a number of ports (1 to 65535) or a range A-B".to_owned())
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

    fn any(count: u16) -> Result<Block, String> {
        NonZeroU16::new(count)
            .map(Block::Any)
            .ok_or_else(String::new)
    }

    #[test]
    fn reads_counts_and_ranges() {
        assert_eq!("3".parse(), any(3));
        assert_eq!("512".parse(), any(512));
        assert_eq!("count=3000".parse(), any(3000));
        assert_eq!("8080-8080".parse(), Ok(Block::Exactly(8080..=8080)));
        assert_eq!("1-65535".parse(), Ok(Block::Exactly(1..=65535)));
    }

    #[test]
    fn refuses_everything_else() {
        for text in [
            "",
            "0",
            "-",
            "0-5",
            "5-",
            "-5",
            "9-8",
            "65536",
            "1-65536",
            "1-2-3",
            "x",
            "513",
            "count=",
            "count=0",
            "count=65536",
            "count=1-2",
        ] {
            assert!(text.parse::<Block>().is_err(), "{text:?} was accepted");
        }
    }

    #[test]
    fn a_likely_slip_is_told_what_to_write() {
        let error = "3000".parse::<Block>().expect_err("a slip");
        assert!(
            error.contains("3000-3000") && error.contains("count=3000"),
            "{error}"
        );
    }

    #[test]
    fn reads_names() {
        let request: PortRequest = "WEB_1=8080-8081".parse().expect("a request");
        assert_eq!(request.block, Block::Exactly(8080..=8081));
        assert_eq!(
            request.name.as_ref().map(VariableName::as_str),
            Some("WEB_1")
        );
        let request: PortRequest = "count=600".parse().expect("a request");
        assert_eq!((request.name, Ok(request.block)), (None, any(600)));
        let request: PortRequest = "A=count=600".parse().expect("a request");
        assert_eq!(Ok(request.block), any(600));
        for text in [
            "=1",
            "A=",
            "1A=1",
            "A B=1",
            "PATH=1",
            "LD_PRELOAD=1",
            "A=B=1",
            "A=513",
        ] {
            assert!(text.parse::<PortRequest>().is_err(), "{text:?} was taken");
        }
    }

    #[test]
    fn reads_limits() {
        assert_eq!(limit(""), Ok(Limit(None)));
        assert_eq!(limit("0.5"), Ok(Limit(Some(Duration::from_millis(500)))));
        for text in ["-1", "x", "inf", "NaN", "1e30"] {
            assert!(limit(text).is_err(), "{text}");
        }
    }
}
