//! `portkeep unreserve`: end a persistent reservation or part of one.

use std::process::ExitCode;

use clap::Args;
use portkeep_admin::{Installation, Kind};

use crate::arguments::removal::Removal;
use crate::error::Result;

/// End a persistent reservation or part of one
///
/// The rest of the block stays reserved. Bound sockets stay bound. A fleet's reservation is ended on all
/// nodes by `portkeep fleet unreserve`. Needs root.
#[derive(Debug, Args)]
pub struct Unreserve {
    #[command(flatten)]
    removal: Removal,
}

impl Unreserve {
    pub fn execute(&self, installation: &Installation) -> Result<ExitCode> {
        self.removal
            .execute(installation, Kind::Reservation, "reserved")
    }
}
