//! The command `portkeep-fleet`, which `portkeep fleet` starts.

#[cfg(feature = "assets")]
#[path = "../../portkeep-cli/src/assets.rs"]
mod assets;

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
    #[cfg(feature = "assets")]
    if let Some(directory) = std::env::var_os("PORTKEEP_ASSETS") {
        use clap::CommandFactory as _;
        assets::write(directory.as_ref(), Cli::command())?;
        return Ok(ExitCode::SUCCESS);
    }
    let cli = Cli::parse();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Error::refused(format!("cannot start: {error}")))?;
    runtime.block_on(cli.execute())
}
