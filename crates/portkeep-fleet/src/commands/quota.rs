//! `portkeep fleet quota`

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::Args;
use portkeep_fleet_core::data::{Key, Quota as Limits, Value};
use portkeep_fleet_core::engine::{Outcome, Transaction};
use serde::Serialize;

use crate::connect::engine;
use crate::error::{Error, Result};
use crate::output::json;

/// Show or set how much the jobs of a user may hold at once
///
/// Root's are not limited. What is held already stays.
#[derive(Debug, Args)]
pub struct Quota {
    /// Grants of a user at once
    #[arg(long, value_name = "COUNT")]
    grants: Option<u32>,
    /// Ports of a user at once, each counted on each of its nodes
    #[arg(long, value_name = "COUNT")]
    ports: Option<u32>,
    /// Nodes of one grant
    #[arg(long, value_name = "COUNT")]
    nodes: Option<u32>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Document {
    schema: u32,
    grants: u32,
    ports: u32,
    nodes: u32,
}

impl Quota {
    pub(crate) async fn execute(&self) -> Result<ExitCode> {
        let limits = self.set().await?;
        let mut out = io::stdout().lock();
        if self.json {
            let document = Document {
                schema: 1,
                grants: limits.grants,
                ports: limits.ports,
                nodes: limits.nodes,
            };
            writeln!(out, "{}", json(&document)?)?;
        } else {
            writeln!(
                out,
                "A user may hold {} grants and {} ports, each counted on each node; a grant has at most {} nodes",
                limits.grants, limits.ports, limits.nodes
            )?;
        }
        Ok(ExitCode::SUCCESS)
    }

    async fn set(&self) -> Result<Limits> {
        let engine = engine().await?;
        loop {
            let reads = engine.read(&[Key::Config]).await?;
            let found = reads.into_iter().next().and_then(|read| read.found);
            let Some((revision, Value::Config(mut config))) =
                found.map(|found| (found.revision, found.value))
            else {
                return Err(Error::no_fleet());
            };
            let Limits {
                grants,
                ports,
                nodes,
            } = config.quota;
            let limits = Limits {
                grants: self.grants.unwrap_or(grants),
                ports: self.ports.unwrap_or(ports),
                nodes: self.nodes.unwrap_or(nodes),
            };
            if limits == config.quota {
                return Ok(limits);
            }
            config.quota = limits;
            let transaction = Transaction::default()
                .expect(Key::Config, Some(revision))
                .put(Key::Config, Value::Config(config));
            match engine.transact(&transaction).await? {
                Outcome::Done(_) => return Ok(limits),
                // Others change it, too.
                Outcome::Differs(_) => {}
                Outcome::Unknown => {
                    return Err(Error::undecided("etcd's answer was lost")
                        .with_hint("run the same command again"));
                }
            }
        }
    }
}
