//! The command line of `portkeep fleet`.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::commands;
use crate::error::Result;

/// Reserve the same ports on many machines, on all of them or on none
#[derive(Debug, Parser)]
#[command(name = "portkeep-fleet", bin_name = "portkeep fleet", version, max_term_width = 100, after_help = EXIT_CODES)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "Exit status: 0 done, 1 refused (the reason is on standard error), 2 wrong usage, 3 something differs, 4 undecided (etcd cannot be asked).";

#[derive(Debug, Subcommand)]
enum Command {
    AdoptEngine(commands::adopt_engine::AdoptEngine),
    Agent(commands::agent::Agent),
    Init(commands::init::Init),
    Join(commands::join::Join),
    #[command(subcommand)]
    Node(commands::node::Node),
    Reserve(commands::reserve::Reserve),
    Exclude(commands::exclude::Exclude),
    Change(commands::change::Change),
    Strangers(commands::strangers::Strangers),
    Unreserve(commands::unreserve::Unreserve),
    Status(commands::status::Status),
    Drift(commands::drift::Drift),
    Repair(commands::repair::Repair),
    Forget(commands::forget::Forget),
    Why(commands::why::Why),
    Who(commands::who::Who),
    Acquire(commands::acquire::Acquire),
    Attach(commands::attach::Attach),
    Ls(commands::ls::Ls),
    Quota(commands::quota::Quota),
    Release(commands::release::Release),
    Run(commands::run::Run),
    Steward(commands::steward::Steward),
}

impl Cli {
    /// Executes the command, within a runtime.
    ///
    /// # Errors
    ///
    /// What the command says.
    pub async fn execute(&self) -> Result<ExitCode> {
        match &self.command {
            Command::AdoptEngine(command) => command.execute().await,
            Command::Agent(command) => command.execute().await,
            Command::Init(command) => command.execute().await,
            Command::Join(command) => command.execute().await,
            Command::Node(command) => command.execute().await,
            Command::Reserve(command) => command.execute().await,
            Command::Exclude(command) => command.execute().await,
            Command::Change(command) => command.execute().await,
            Command::Strangers(command) => command.execute().await,
            Command::Unreserve(command) => command.execute().await,
            Command::Status(command) => command.execute().await,
            Command::Drift(command) => command.execute().await,
            Command::Repair(command) => command.execute().await,
            Command::Forget(command) => command.execute().await,
            Command::Why(command) => command.execute().await,
            Command::Who(command) => command.execute().await,
            Command::Acquire(command) => command.execute().await,
            Command::Attach(command) => command.execute().await,
            Command::Ls(command) => command.execute().await,
            Command::Quota(command) => command.execute().await,
            Command::Release(command) => command.execute().await,
            Command::Run(command) => command.execute().await,
            Command::Steward(command) => command.execute().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    use clap::CommandFactory as _;

    use super::*;

    /// As `cargo xtask dist` wants them, which CI does not run for every change.
    #[test]
    fn every_man_page_has_examples() {
        let mut definition = Cli::command();
        definition.build();
        let mut wanted = BTreeSet::new();
        names("portkeep-fleet", &definition, &mut wanted);
        let directory =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging/man/portkeep-fleet");
        let found = fs::read_dir(directory).expect("the examples");
        let found: BTreeSet<String> = found
            .map(|entry| entry.expect("an entry").file_name().display().to_string())
            .collect();
        assert_eq!(found, wanted);
    }

    fn names(name: &str, command: &clap::Command, wanted: &mut BTreeSet<String>) {
        wanted.insert(format!("{name}.8"));
        for below in command
            .get_subcommands()
            .filter(|it| it.get_name() != "help")
        {
            names(&format!("{name}-{}", below.get_name()), below, wanted);
        }
    }
}
