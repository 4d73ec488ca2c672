//! `portkeep fleet adopt-engine`

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::Args;
use serde::Serialize;

use crate::agent::local::{Request, ask};
use crate::error::Result;
use crate::output::json;

/// Let this node obey the etcd that answers now
///
/// For after etcd was made anew, or restored from a snapshot. The agent says so and does nothing until then. Nothing
/// is released by this: what this etcd does not know stays reserved until `portkeep fleet forget`.
#[derive(Debug, Args)]
pub struct AdoptEngine {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Document {
    schema: u32,
    adopted: bool,
}

impl AdoptEngine {
    pub(crate) async fn execute(&self) -> Result<ExitCode> {
        ask(&Request::AdoptEngine).await?;
        if self.json {
            let document = Document {
                schema: 1,
                adopted: true,
            };
            writeln!(io::stdout(), "{}", json(&document)?)?;
            return Ok(ExitCode::SUCCESS);
        }
        writeln!(io::stdout(), "This node obeys the etcd that answers now")?;
        Ok(ExitCode::SUCCESS)
    }
}
