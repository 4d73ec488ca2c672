//! The command line: its commands and the options that all of them share.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::builder::ValueParser;
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use portkeep_admin::Installation;

use crate::commands;

/// Reserve TCP and UDP ports: nobody else on the machine can take them
#[derive(Debug, Parser)]
#[command(name = "portkeep", version, max_term_width = 100, after_help = EXIT_CODES)]
pub struct Cli {
    #[command(flatten)]
    pub locations: Locations,
    #[command(subcommand)]
    pub command: Command,
}

const EXIT_CODES: &str =
    "Exit status: 0 done, 1 refused (the reason is on standard error), 2 wrong usage.";

const CGROUP_HELP: &str =
    "The cgroup that the kernel part is attached to [default: the cgroup v2 root]";

/// Where the kernel part and the store are; the defaults are the machine's.
#[derive(Debug, Args)]
#[command(next_help_heading = "Locations")]
pub struct Locations {
    #[arg(
        long,
        value_name = "DIR",
        env = "PORTKEEP_CGROUP",
        hide_env_values = true,
        help = CGROUP_HELP
    )]
    pub cgroup: Option<PathBuf>,
    /// The BPF file system that the kernel part is pinned in [default: the first one mounted]
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        env = "PORTKEEP_BPFFS",
        hide_env_values = true
    )]
    pub bpffs: Option<PathBuf>,
    /// Where persistent reservations are stored [default: /var/lib/portkeep]
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        env = "PORTKEEP_STATE_DIR",
        hide_env_values = true
    )]
    pub state_dir: Option<PathBuf>,
}

impl Locations {
    /// What these options name.
    pub fn installation(&self) -> Installation {
        Installation {
            cgroup: self.cgroup.clone(),
            bpffs: self.bpffs.clone(),
            state_dir: self.state_dir.clone(),
        }
    }

    /// Puts the locations into the environment, where the library, and the
    /// Portkeep users among the commands that are run, look for them.
    pub fn export(&self) {
        for (name, value) in [
            ("PORTKEEP_CGROUP", &self.cgroup),
            ("PORTKEEP_BPFFS", &self.bpffs),
            ("PORTKEEP_STATE_DIR", &self.state_dir),
        ] {
            if let Some(value) = value {
                // SAFETY: the process has one thread; nothing reads the environment meanwhile.
                unsafe { std::env::set_var(name, value) };
            }
        }
    }
}

#[derive(Debug, Subcommand)]
pub enum Command {
    Enable(commands::enable::Enable),
    Disable(commands::disable::Disable),
    Status(commands::status::Status),
    Run(commands::run::Run),
    Hold(commands::hold::Hold),
    Ls(commands::ls::Ls),
    Why(commands::why::Why),
    Reserve(commands::reserve::Reserve),
    Unreserve(commands::unreserve::Unreserve),
    Exclude(commands::exclude::Exclude),
    Include(commands::include::Include),
    Doctor(commands::doctor::Doctor),
}

/// The one command in which `--cgroup` says who may bind; there the location goes before the name.
const NAMES_CONSUMERS: &str = "reserve";

/// The name of the option for the location in all other commands.
const LOCATION: &str = "location-cgroup";

impl Cli {
    /// Reads the command line. Wrong usage ends the process, with exit code 2.
    pub fn read() -> Cli {
        let matches = Cli::definition().get_matches();
        Cli::from_arg_matches(&matches)
            .map(|cli| cli.with_location_of(&matches))
            .unwrap_or_else(|error| error.format(&mut Cli::command()).exit())
    }

    /// The command line as it is read, and documented.
    pub fn definition() -> clap::Command {
        let location = Arg::new(LOCATION)
            .long("cgroup")
            .value_name("DIR")
            .env("PORTKEEP_CGROUP")
            .hide_env_values(true)
            .help(CGROUP_HELP)
            .help_heading("Locations")
            .value_parser(ValueParser::path_buf());
        Cli::command().mut_subcommands(|command| match command.get_name() {
            NAMES_CONSUMERS => command,
            _ => command.arg(location.clone()),
        })
    }

    /// With the `--cgroup` after the name of the command, where there is one.
    fn with_location_of(mut self, matches: &ArgMatches) -> Cli {
        if let Some((name, of_command)) = matches.subcommand()
            && name != NAMES_CONSUMERS
            && of_command.value_source(LOCATION) == Some(ValueSource::CommandLine)
        {
            self.locations.cgroup = of_command.get_one(LOCATION).cloned();
        }
        self
    }

    pub fn execute(&self) -> anyhow::Result<ExitCode> {
        match &self.command {
            Command::Enable(command) => command.execute(&self.locations),
            Command::Disable(command) => command.execute(&self.locations),
            Command::Status(command) => command.execute(&self.locations),
            Command::Run(command) => Ok(command.execute()),
            Command::Hold(command) => command.execute(),
            Command::Ls(command) => command.execute(&self.locations),
            Command::Why(command) => command.execute(&self.locations),
            Command::Reserve(command) => command.execute(&self.locations),
            Command::Unreserve(command) => command.execute(&self.locations),
            Command::Exclude(command) => command.execute(&self.locations),
            Command::Include(command) => command.execute(&self.locations),
            Command::Doctor(command) => command.execute(&self.locations),
        }
    }
}
