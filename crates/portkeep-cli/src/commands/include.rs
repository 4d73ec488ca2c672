//! `portkeep include`: end an exclusion or part of one.

use std::process::ExitCode;

use clap::Args;
use portkeep_admin::{Installation, Kind};

use crate::arguments::removal::Removal;
use crate::error::Result;

/// End an exclusion or part of one, so that the ports can be chosen automatically again
///
/// The rest of the block stays excluded. Needs root.
#[derive(Debug, Args)]
pub struct Include {
    #[command(flatten)]
    removal: Removal,
}

impl Include {
    pub fn execute(&self, installation: &Installation) -> Result<ExitCode> {
        self.removal
            .execute(installation, Kind::Exclusion, "excluded")
    }
}
