//! `portkeep hold`: keep ports until interrupted.

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::{ArgGroup, Args};
use nix::sys::signal::{SigSet, Signal};
use portkeep::{Consumers, Protocol};
use portkeep_admin::Installation;

use crate::arguments::netns::NetnsArgument;
use crate::arguments::ports::{OPTIONS, PortsArgument};
use crate::error::{Context as _, Result};
use crate::holding::Holding;
use crate::run::signals;

/// Hold ports until interrupted, so that nobody can bind to them
///
/// Prints the ports, one range per line, as soon as they are held, and holds them until SIGINT,
/// SIGTERM or SIGHUP. Meanwhile no process can bind to them.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("ports").args(OPTIONS).required(true).multiple(true)))]
pub struct Hold {
    #[command(flatten)]
    netns: NetnsArgument,
    #[command(flatten)]
    ports: PortsArgument,
    /// Print what keeps the ports
    #[arg(short, long)]
    verbose: bool,
}

impl Hold {
    pub fn execute(&self, installation: &Installation) -> Result<ExitCode> {
        self.netns.enter()?;
        let ends = ending_signals();
        // Blocked before the ports are held, so that a signal after they are printed ends this in order.
        ends.thread_block().context("cannot block signals")?;
        let holding = Holding::acquire(installation, &self.ports, Consumers::ASSOCIATED)?;
        if self.verbose {
            eprintln!("portkeep: {}", holding.explain());
        }
        let mut out = io::stdout().lock();
        for protocol in [Protocol::Tcp, Protocol::Udp] {
            for range in holding.ranges(protocol) {
                writeln!(out, "{range}")?;
            }
        }
        out.flush()?;
        ends.wait().context("cannot wait for a signal")?;
        Ok(ExitCode::SUCCESS)
    }
}

/// The signals that end holding, except those that our parent made us ignore, as nohup(1) does.
fn ending_signals() -> SigSet {
    [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP]
        .into_iter()
        .filter(|signal| !signals::is_ignored(*signal))
        .collect()
}
