//! The `portkeep` command.

mod arguments;
#[cfg(feature = "assets")]
mod assets;
mod cli;
mod commands;
mod compose;
mod configuration;
mod control_cgroup;
mod declared_changes;
mod doctor;
mod error;
mod holding;
mod kept_options;
mod locations;
mod named_place;
mod neighbours;
mod open_metrics;
mod outcome;
mod output;
mod pidfd;
mod port_map;
mod port_state;
mod presets;
mod reservation_document;
mod run;
mod serve;
mod temporary;
mod text_file;
mod units;
mod waiting;
mod watching;
mod words;

use std::process::ExitCode;

use crate::cli::Cli;
use crate::error::{Kind, Result};

fn main() -> ExitCode {
    match execute() {
        Ok(code) => code,
        Err(error) => {
            if !matches!(error.kind(), Kind::OutputClosed | Kind::Interrupted(_)) {
                error.print();
            }
            error.kind().into()
        }
    }
}

fn execute() -> Result<ExitCode> {
    #[cfg(feature = "assets")]
    if let Some(directory) = std::env::var_os("PORTKEEP_ASSETS") {
        assets::write(directory.as_ref(), Cli::definition())?;
        return Ok(ExitCode::SUCCESS);
    }
    commands::fleet::start_if_asked()?;
    Cli::read().execute()
}
