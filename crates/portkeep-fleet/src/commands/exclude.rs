//! `portkeep fleet exclude`

use std::process::ExitCode;

use clap::Args;
use portkeep_fleet_core::data::Mode;

use crate::error::Result;
use crate::operator::policy::Policy;

/// Keep ports out of automatic choice on all nodes that have some labels, or on none
///
/// Nobody gets one of the ports by chance, and everybody may bind explicitly. It is in nobody's way.
#[derive(Debug, Args)]
pub struct Exclude {
    #[command(flatten)]
    policy: Policy,
}

impl Exclude {
    pub(crate) async fn execute(&self) -> Result<ExitCode> {
        self.policy.make(Mode::Exclude, Vec::new()).await
    }
}
