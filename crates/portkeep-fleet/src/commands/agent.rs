//! `portkeep fleet agent`

use std::process::ExitCode;

use clap::Args;

use crate::config::Config;
use crate::error::Result;

/// Make this machine agree with the fleet, until it is told to end
///
/// portkeep-fleet.service runs it, as root. It may be stopped, killed and updated at any time: the kernel goes on
/// refusing everybody else.
#[derive(Debug, Args)]
pub struct Agent {}

impl Agent {
    pub(crate) async fn execute(&self) -> Result<ExitCode> {
        crate::agent::run(Config::read()?).await?;
        Ok(ExitCode::SUCCESS)
    }
}
