//! The `portkeep` command.

#[cfg(feature = "assets")]
mod assets;
mod cli;
mod clock;
mod commands;
mod control_cgroup;
mod descriptor_limit;
mod doctor;
mod failure;
mod holding;
mod kept_options;
mod named_place;
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
mod variable_name;
mod waiting;

use std::process::ExitCode;

use crate::cli::Cli;
use crate::failure::{Failure, REFUSED};

fn main() -> ExitCode {
    #[cfg(feature = "assets")]
    if let Some(directory) = std::env::var_os("PORTKEEP_ASSETS") {
        return match assets::write(directory.as_ref()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                Failure::from(&error.into()).print();
                ExitCode::from(REFUSED)
            }
        };
    }
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
