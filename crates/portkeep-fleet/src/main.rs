//! The command `portkeep-fleet`, which `portkeep fleet` starts.

use std::process::ExitCode;

use clap::Parser as _;
use portkeep_fleet::cli::Cli;
use portkeep_fleet::error::{Error, Kind, Result};

fn main() -> ExitCode {
    match execute() {
        Ok(code) => code,
        Err(error) => {
            if error.kind() != Kind::OutputClosed {
                error.print();
            }
            error.kind().into()
        }
    }
}

fn execute() -> Result<ExitCode> {
    let cli = Cli::parse();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Error::refused(format!("cannot start: {error}")))?;
    runtime.block_on(cli.execute())
}
