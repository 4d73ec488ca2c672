//! `portkeep run`: run a command that owns ports.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Args;
use portkeep_admin::Installation;

use crate::arguments::netns::NetnsArgument;
use crate::arguments::ports::PortsArgument;
use crate::error::Result;
use crate::run;

/// Run a command that owns ports while it runs
///
/// Only the command and its descendants can bind to the ports, with plain bind(2). The environment
/// of the command names them: PORT is the first TCP port, or the first UDP port if there are no TCP
/// ports; PORTKEEP_TCP and PORTKEEP_UDP list all ports, separated by commas, those of --both last.
#[derive(Debug, Args)]
#[command(after_long_help = HOLDER)]
pub struct Run {
    #[command(flatten)]
    netns: NetnsArgument,
    #[command(flatten)]
    ports: PortsArgument,
    /// Print what keeps the ports
    #[arg(short, long)]
    verbose: bool,
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
When the command ends, portkeep returns its status at once. If the command leaves descendants \
behind, they keep the ports: the holder waits in the background until the last descendant that it \
can see has ended. SIGTERM then ends the holder and the reservation. If portkeep itself is killed \
with SIGKILL, the command, the holder and the reservation continue in the same way.

Signals: portkeep passes on signals to the command. When the command stops, as with Ctrl-Z, \
portkeep stops too.";

impl Run {
    pub fn execute(&self, installation: &Installation) -> Result<ExitCode> {
        self.netns.enter()?;
        let options = run::Options {
            installation,
            ports: &self.ports,
            verbose: self.verbose,
        };
        run::run(&options, &self.command)
    }
}
