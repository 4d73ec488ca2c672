//! The command line: the commands, and the options that all of them share.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::builder::ValueParser;
use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use portkeep_admin::Installation;

use crate::commands;
use crate::error::{Error, Kind, Result};
use crate::locations::{CGROUP_HELP, Locations};

/// Reserve TCP and UDP ports so that nobody else on the machine can take them
#[derive(Debug, Parser)]
#[command(name = "portkeep", version, max_term_width = 100, after_help = EXIT_CODES)]
pub struct Cli {
    #[command(flatten)]
    locations: Locations,
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "Exit status: 0 done, 1 refused (the reason is on standard error), 2 wrong usage, 3 `apply --check` found differences; `run` has its own.\n\n`portkeep fleet` reserves the same ports on many machines; it is a program of its own, portkeep-fleet.";

#[derive(Debug, Subcommand)]
enum Command {
    Enable(commands::enable::Enable),
    Disable(commands::disable::Disable),
    Status(commands::status::Status),
    Run(commands::run::Run),
    Hold(commands::hold::Hold),
    Serve(commands::serve::Serve),
    Ls(commands::ls::Ls),
    Map(commands::map::Map),
    Why(commands::why::Why),
    Watch(commands::watch::Watch),
    Reserve(commands::reserve::Reserve),
    Unreserve(commands::unreserve::Unreserve),
    Exclude(commands::exclude::Exclude),
    Include(commands::include::Include),
    Apply(commands::apply::Apply),
    Doctor(commands::doctor::Doctor),
    Metrics(commands::metrics::MetricsCommand),
}

/// The one command in which `--cgroup` names who may bind. There the location goes before the name.
const NAMES_CONSUMERS: &str = "reserve";

/// The name of the option for the location in all other commands.
const LOCATION: &str = "location-cgroup";

/// The command line as it was read.
#[derive(Debug)]
pub struct Invocation {
    command: Command,
    /// The command's name.
    name: String,
    installation: Installation,
}

impl Cli {
    /// Reads the command line. Wrong usage ends the process, with exit code 2, of `run` with 125.
    pub fn read() -> Invocation {
        let matches = Cli::definition().try_get_matches();
        let matches = matches.unwrap_or_else(|error| exit(error));
        let cli = Cli::from_arg_matches(&matches)
            .unwrap_or_else(|error| error.format(&mut Cli::command()).exit());
        let (name, of_command) = matches.subcommand().unzip();
        Invocation {
            command: cli.command,
            name: name.unwrap_or_default().to_owned(),
            installation: cli.locations.installation(of_command.and_then(location)),
        }
    }

    /// The definition of the command line, for reading and documenting it.
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
}

/// Says what is wrong, or the help that was asked for.
fn exit(error: clap::Error) -> ! {
    if !error.use_stderr() {
        error.exit()
    }
    // Clap takes an option that the environment sets for one that was given, and shows it in the usage.
    let definition = without_environment(Cli::definition()).mut_subcommands(without_environment);
    let _ = definition.try_get_matches().err().unwrap_or(error).print();
    let named = Cli::definition().ignore_errors(true).try_get_matches();
    let is_run = named.is_ok_and(|named| named.subcommand_name() == Some("run"));
    let kind = if is_run {
        Kind::CommandRefused
    } else {
        Kind::Usage
    };
    std::process::exit(kind.exit_status().into())
}

fn without_environment(command: clap::Command) -> clap::Command {
    command.mut_args(|argument| argument.env(None::<&str>))
}

/// The `--cgroup` after the name of a command, if it was given there.
fn location(of_command: &ArgMatches) -> Option<PathBuf> {
    let known = of_command.try_contains_id(LOCATION).unwrap_or(false);
    let given = known && of_command.value_source(LOCATION) == Some(ValueSource::CommandLine);
    given.then(|| of_command.get_one(LOCATION).cloned())?
}

impl Invocation {
    /// Executes the command.
    pub fn execute(&self) -> Result<ExitCode> {
        let installation = &self.installation;
        let ended = match &self.command {
            Command::Enable(command) => command.execute(installation),
            Command::Disable(command) => command.execute(installation),
            Command::Status(command) => command.execute(installation),
            Command::Run(command) => command.execute(installation),
            Command::Hold(command) => command.execute(installation),
            Command::Serve(command) => command.execute(installation),
            Command::Ls(command) => command.execute(installation),
            Command::Map(command) => command.execute(installation),
            Command::Why(command) => command.execute(installation),
            Command::Watch(command) => command.execute(installation),
            Command::Reserve(command) => command.execute(installation),
            Command::Unreserve(command) => command.execute(installation),
            Command::Exclude(command) => command.execute(installation),
            Command::Include(command) => command.execute(installation),
            Command::Apply(command) => command.execute(installation),
            Command::Doctor(command) => command.execute(installation),
            Command::Metrics(command) => command.execute(installation),
        };
        match ended {
            Err(error) if error.kind() == Kind::Usage => Ok(self.misused(&error)),
            ended => ended,
        }
    }

    /// Reports, in the style of clap, wrong usage that the definition cannot express.
    fn misused(&self, error: &Error) -> ExitCode {
        let mut definition = Cli::definition();
        definition.build();
        let command = definition.find_subcommand_mut(&self.name);
        if let Some(command) = command {
            let error = command.error(ErrorKind::ValueValidation, error);
            // Standard error may be closed, as after a hang-up.
            let _ = error.print();
        }
        error.kind().into()
    }
}
