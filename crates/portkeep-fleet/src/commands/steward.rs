//! `portkeep fleet steward`

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use crate::connect::engine;
use crate::error::Result;
use crate::jobs::steward::{Terms, serve};

/// Serve the users of this machine who want ports for their jobs, until it is told to end
///
/// Its certificate needs the role steward. It runs where jobs are started from: on login nodes, beside slurmctld.
/// Several may run. Each keeps the holds of the jobs that were started from its machine, and ends grants whose holder
/// is gone. It may be killed at any time: what it had begun, it or another one finishes, and what is granted stays
/// granted while its holder lives.
#[derive(Debug, Args)]
pub struct Steward {
    /// Seconds for which a hold has to be missing, as seen without a break, before its grant ends
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    grace: u32,
}

impl Steward {
    pub(crate) async fn execute(&self) -> Result<ExitCode> {
        let engine = engine().await?;
        let terms = Terms {
            grace: Duration::from_secs(self.grace.into()),
        };
        serve(engine, terms).await?;
        Ok(ExitCode::SUCCESS)
    }
}
