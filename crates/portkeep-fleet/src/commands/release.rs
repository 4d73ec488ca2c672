//! `portkeep fleet release`

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::Args;
use portkeep_fleet_core::data::Name;
use serde::Serialize;

use super::acquire::{granted, unexpected};
use crate::error::Result;
use crate::jobs::local::{Answer, Client, Request};
use crate::output::json;

/// Give a grant back
///
/// Its ports are free on each node as soon as that node has heard of it. Sockets that are bound stay bound. A grant
/// that is gone is released already. Root may give back anybody's.
#[derive(Debug, Args)]
pub struct Release {
    /// The grant, as `acquire` has printed it
    id: Name,
    /// How long to wait until all nodes have released it, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    wait: u32,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Document<'a> {
    schema: u32,
    grant: &'a str,
    /// Nodes have still to hear of it.
    left: bool,
}

impl Release {
    pub(crate) async fn execute(&self) -> Result<ExitCode> {
        let mut client = Client::connect().await?;
        let request = Request::Release {
            id: self.id.clone(),
            wait: self.wait,
        };
        let left = match client.ask(&request).await? {
            Answer::Released { left } => left,
            answer => return Err(granted(answer).err().unwrap_or_else(unexpected)),
        };
        let mut out = io::stdout().lock();
        if self.json {
            let document = Document {
                schema: 1,
                grant: self.id.as_str(),
                left,
            };
            writeln!(out, "{}", json(&document)?)?;
        } else if left {
            writeln!(
                out,
                "{} ends; nodes that do not answer release it when they hear of it",
                self.id
            )?;
        } else {
            writeln!(out, "{} is released on all nodes", self.id)?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
