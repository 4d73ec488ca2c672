//! `portkeep run`: run a command that owns ports.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Args;

use crate::netns_argument::NetnsArgument;
use crate::ports_argument::PortsArgument;
use crate::run;

/// Run a command that owns ports while it runs
///
/// The command and its descendants, and nobody else, can bind to the ports, by plain bind(2).
/// The command finds the ports in its environment: PORT is the first TCP port, or the first UDP
/// port if there are no TCP ports; PORTKEEP_TCP and PORTKEEP_UDP list all ports, separated by
/// commas, those of --both last.
#[derive(Debug, Args)]
#[command(after_long_help = HOLDER)]
pub struct Run {
    #[command(flatten)]
    netns: NetnsArgument,
    #[command(flatten)]
    ports: PortsArgument,
    /// Say what keeps the ports
    #[arg(short, long)]
    verbose: bool,
    /// Run the command even where it cannot bind to its ports: others are kept out all the same
    #[arg(long)]
    unprotected: bool,
    /// The command and its arguments
    #[arg(
        last = true,
        required = true,
        value_name = "COMMAND",
        help_heading = "Arguments"
    )]
    command: Vec<OsString>,
}

const HOLDER: &str = "\
Exit status: that of the command, or 128+N if signal N ended it; 127 if there is no such command, \
126 if it cannot be executed; 1 if the ports are refused.

How long the ports are held: a second portkeep process, the parent of the command, holds them. \
When the command ends, portkeep returns its status at once. If the command has left descendants \
behind, the ports stay theirs: the holder waits in the background until the last descendant that \
it can see has gone. SIGTERM ends the holder then, and with it the reservation. If portkeep itself \
is killed with SIGKILL, the command, the holder and the reservation go on in the same way.

Signals: those sent to portkeep are passed on to the command; when the command stops, as by \
Ctrl-Z, portkeep stops too.";

impl Run {
    pub fn execute(&self) -> anyhow::Result<ExitCode> {
        self.netns.enter()?;
        let options = run::Options {
            ports: &self.ports,
            verbose: self.verbose,
            unprotected: self.unprotected,
        };
        run::run(&options, &self.command)
    }
}
