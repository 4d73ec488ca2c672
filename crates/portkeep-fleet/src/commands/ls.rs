//! `portkeep fleet ls`

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::Args;
use serde::Serialize;

use super::acquire::{granted, unexpected};
use crate::error::Result;
use crate::jobs::local::{Answer, Client, Listed, Request};
use crate::operator::report::nodes;
use crate::output::{json, write_table};

/// List your grants; for root, everybody's
///
/// Shows what `acquire` and `run` have got, also if their answer was lost.
#[derive(Debug, Args)]
pub struct Ls {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Document {
    schema: u32,
    grants: Vec<Listed>,
}

impl Ls {
    pub(crate) async fn execute(&self) -> Result<ExitCode> {
        let mut client = Client::connect().await?;
        let grants = match client.ask(&Request::List).await? {
            Answer::Grants { grants } => grants,
            answer => return Err(granted(answer).err().unwrap_or_else(unexpected)),
        };
        let mut out = io::stdout().lock();
        if self.json {
            let document = Document { schema: 1, grants };
            writeln!(out, "{}", json(&document)?)?;
            return Ok(ExitCode::SUCCESS);
        }
        let head = ["GRANT", "OWNER", "PORTS", "ON", "STANDING", "ENDS"];
        let mut rows = vec![head.map(str::to_owned)];
        rows.extend(grants.iter().map(row));
        write_table(&mut out, &rows)?;
        Ok(ExitCode::SUCCESS)
    }
}

fn row(grant: &Listed) -> [String; 6] {
    use portkeep_fleet_core::data::Phase;
    let standing = match (grant.phase, grant.lost.len()) {
        (Phase::Preparing, _) => "being asked for".to_owned(),
        (Phase::Ending, _) => "ending".to_owned(),
        (Phase::Committed, 0) => "held".to_owned(),
        (Phase::Committed, lost) => format!("lost on {}", nodes(lost)),
    };
    let ends = match grant.held {
        true => "with its command",
        false => "when released",
    };
    [
        grant.grant.to_string(),
        grant.owner.clone(),
        grant.ports.join(","),
        nodes(grant.nodes.len()),
        standing,
        ends.to_owned(),
    ]
}
