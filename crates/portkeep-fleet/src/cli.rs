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
    Init(commands::init::Init),
    #[command(subcommand)]
    Node(commands::node::Node),
}

impl Cli {
    /// Executes the command, within a runtime.
    ///
    /// # Errors
    ///
    /// What the command says.
    pub async fn execute(&self) -> Result<ExitCode> {
        match &self.command {
            Command::Init(command) => command.execute().await,
            Command::Node(command) => command.execute().await,
        }
    }
}
