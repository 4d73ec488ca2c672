//! `portkeep run`: run a command that owns ports.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{ArgGroup, Args};
use portkeep_admin::Installation;

use crate::arguments::netns::NetnsArgument;
use crate::arguments::ports::{OPTIONS, PortsArgument};
use crate::error::{Error, Result};
use crate::run::{self, ServerOptions, Whose};

/// Run a command with ports of its own
///
/// Only the command and its descendants can bind to the ports, with plain bind(2). The environment
/// of the command names them: PORT is the first TCP port, or the first UDP port if there are no TCP
/// ports; PORTKEEP_TCP and PORTKEEP_UDP list all ports, separated by commas, those of --both last.
///
/// With NAME=, as in --tcp WEB=2, the ports of that option are also in the variable NAME, and they
/// replace {NAME} in the arguments of the command.
#[derive(Debug, Args)]
#[command(
    override_usage = "portkeep run [OPTIONS] <--tcp|--udp|--both [NAME=]N|A-B|--serve> [--] COMMAND [ARGUMENT]...",
    after_long_help = HOLDER,
    group(ArgGroup::new("ports").args(OPTIONS).arg("serve").required(true).multiple(true))
)]
pub struct Run {
    /// Print what keeps the ports
    #[arg(short, long, conflicts_with = "quiet")]
    verbose: bool,
    /// Print nothing unless the command cannot run
    #[arg(short, long)]
    quiet: bool,
    /// Run the command even if it cannot bind to its ports; strangers cannot, either
    #[arg(long)]
    unprotected: bool,
    /// Have the command's programs load a library that has their binds made, if sockets hold the ports
    ///
    /// For where nothing else leads to their sockets: under a ptrace_scope of 2 or 3, and for programs that
    /// forbid to be looked at. Static programs and those that gain privileges do not load it, and cannot bind
    /// to the ports then.
    #[arg(long)]
    preload: bool,
    /// Hand out ports to the command's processes, by portserver's protocol
    ///
    /// PORTSERVER_ADDRESS names the server, as python_portpicker expects it; PORTKEEP_SERVER is the path of a
    /// socket file of the same server. Only the process that a port was asked for and its descendants can bind
    /// to it, until that process ends. Where sockets hold the ports, N of them are held from the start.
    #[arg(
        long,
        value_name = "N",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "128",
        value_parser = clap::value_parser!(u16).range(1..)
    )]
    serve: Option<u16>,
    /// Which processes may bind to a port of --serve
    #[arg(long, value_name = "WHO", value_enum, default_value_t = Whose::Process, requires = "serve")]
    share: Whose,
    #[command(flatten)]
    netns: NetnsArgument,
    #[command(flatten)]
    ports: PortsArgument,
    /// The command and its arguments; options of `run` go before it
    #[arg(
        trailing_var_arg = true,
        required = true,
        value_name = "COMMAND",
        help_heading = "Arguments"
    )]
    command: Vec<OsString>,
}

const HOLDER: &str = "\
Exit status: that of the command, or 128+N if signal N ended it; 125 if the ports are refused or the \
usage is wrong; 126 if the command is found but cannot be executed; 127 if it is not found; 130 if \
Ctrl-C ends --wait.

How long the ports are held: a second portkeep process, the parent of the command, holds them. \
When the command ends, portkeep returns its status at once. If the command leaves descendants \
behind, they keep the ports: the holder waits in the background until the last descendant that it \
can see has ended. SIGTERM then ends the holder and the reservation. If portkeep itself is killed \
with SIGKILL, the command, the holder and the reservation continue in the same way.

Signals: portkeep passes on signals to the command. When the command stops, as with Ctrl-Z, \
portkeep stops too.

Examples:
  portkeep run --tcp 1 pytest -x
  portkeep run --tcp MASTER_PORT=1 torchrun --master-port={MASTER_PORT} train.py
  portkeep run --tcp 8080-8080 --wait=60 npm start
  portkeep run --serve pytest -n 8
  portkeep run --tcp 2 --name web --verbose docker-compose up";

impl Run {
    pub fn execute(&self, installation: &Installation) -> Result<ExitCode> {
        self.run(installation).map_err(Error::of_run)
    }

    fn run(&self, installation: &Installation) -> Result<ExitCode> {
        self.netns.enter()?;
        let options = run::Options {
            installation,
            ports: &self.ports,
            verbose: self.verbose,
            quiet: self.quiet,
            server: self.serve.map(|held| ServerOptions {
                held,
                whose: self.share,
            }),
            unprotected: self.unprotected,
            preload: self.preload,
        };
        run::run(&options, &self.command)
    }
}
