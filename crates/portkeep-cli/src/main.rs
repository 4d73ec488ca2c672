//! The `portkeep` command.

mod cli;
mod clock;
mod commands;
mod descriptor_limit;
mod failure;
mod holding;
mod port_state;
mod ports_argument;
mod printable;
mod reservation_document;
mod run;
mod sockets;
mod table;
mod users;

use std::process::ExitCode;

use clap::Parser as _;

use crate::cli::Cli;
use crate::failure::{Failure, REFUSED};

fn main() -> ExitCode {
    // Wrong usage ends here, with exit code 2.
    let cli = Cli::parse();
    cli.locations.export();
    match cli.execute() {
        Ok(code) => code,
        Err(error) if failure::is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            Failure::from(&error).print();
            ExitCode::from(REFUSED)
        }
    }
}
