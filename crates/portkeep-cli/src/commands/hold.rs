//! `portkeep hold`: keep ports until interrupted.

use std::io::{self, Write as _};
use std::os::fd::AsFd as _;
use std::process::ExitCode;

use clap::{ArgGroup, Args};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use portkeep::Consumers;
use portkeep_admin::Installation;
use serde::Serialize;

use crate::arguments::netns::NetnsArgument;
use crate::arguments::ports::{OPTIONS, PortsArgument};
use crate::error::{Context as _, Result};
use crate::holding::{Held, Holding};
use crate::output::{json, say};
use crate::run::signals;
use crate::waiting::{self, Surroundings};

/// Hold ports until interrupted, so that nobody can bind to them
///
/// Prints the ports, one range per line, as soon as they are held, and holds them until SIGINT,
/// SIGTERM or SIGHUP. Meanwhile nobody can bind to them, except
/// processes of the same user with --same-user.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("ports").args(OPTIONS).required(true).multiple(true)))]
pub struct Hold {
    /// Print what keeps the ports
    #[arg(short, long, conflicts_with = "quiet")]
    verbose: bool,
    /// Print nothing but the ports, or the reason if they are refused
    #[arg(short, long)]
    quiet: bool,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    netns: NetnsArgument,
    #[command(flatten)]
    ports: PortsArgument,
}

#[derive(Debug, Serialize)]
struct Document<'a> {
    schema: u32,
    pid: u32,
    blocks: Vec<BlockDocument<'a>>,
}

/// What one option got.
#[derive(Debug, Serialize)]
struct BlockDocument<'a> {
    backend: String,
    name: Option<&'a str>,
    protocols: Vec<String>,
    start: u16,
    end: u16,
}

impl Hold {
    pub fn execute(&self, installation: &Installation) -> Result<ExitCode> {
        self.netns.enter()?;
        let ends = ending_signals();
        // Blocked before the ports are held, so that a signal after they are printed ends this in order.
        ends.thread_block().context("cannot block signals")?;
        let holding = self.acquire(installation, &ends)?;
        if self.verbose {
            for line in holding.explain(&self.ports) {
                say(&line);
            }
        }
        let mut out = io::stdout().lock();
        if self.json {
            writeln!(out, "{}", json(&document(&holding))?)?;
        } else {
            for range in holding.all_ranges() {
                writeln!(out, "{range}")?;
            }
        }
        out.flush()?;
        ends.wait().context("cannot wait for a signal")?;
        Ok(ExitCode::SUCCESS)
    }

    fn acquire(&self, installation: &Installation, ends: &SigSet) -> Result<Holding> {
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        let signals = SignalFd::with_flags(ends, flags).context("signalfd")?;
        let mut look_after = || {
            let signal = signals.read_signal().context("signalfd")?;
            Ok(signal.map(|signal| signal.ssi_signo as u8))
        };
        waiting::acquire(
            installation,
            &self.ports,
            Consumers::ASSOCIATED,
            Surroundings {
                quiet: self.quiet,
                inputs: &[signals.as_fd()],
                look_after: &mut look_after,
            },
        )
    }
}

fn document(holding: &Holding) -> Document<'_> {
    Document {
        schema: 1,
        pid: std::process::id(),
        blocks: holding.blocks().iter().map(BlockDocument::from).collect(),
    }
}

impl<'a> From<&'a Held> for BlockDocument<'a> {
    fn from(block: &'a Held) -> Self {
        let protocols = block.ranges().map(|range| range.protocol().to_string());
        Self {
            backend: block.backend().to_string(),
            name: block.name(),
            protocols: protocols.collect(),
            start: block.start(),
            end: block.end(),
        }
    }
}

/// The signals that end holding, except those that our parent made us ignore, as nohup(1) does.
fn ending_signals() -> SigSet {
    [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP]
        .into_iter()
        .filter(|signal| !signals::is_ignored(*signal))
        .collect()
}
