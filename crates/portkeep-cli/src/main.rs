//! The `portkeep` command.

mod cli;
mod clock;
mod commands;
mod control_cgroup;
mod descriptor_limit;
mod doctor;
mod failure;
mod holding;
mod kept_options;
mod netns_argument;
mod persistent_block;
mod persistent_words;
mod port_state;
mod ports_argument;
mod printable;
mod reservation_document;
mod run;
mod sockets;
mod table;
mod users;

use std::process::ExitCode;

use crate::cli::Cli;
use crate::failure::{Failure, REFUSED};

fn main() -> ExitCode {
    let cli = Cli::read();
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
