//! `portkeep fleet forget`

use std::collections::BTreeSet;
use std::io::{self, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use portkeep_fleet_core::data::{Ask, Name};
use serde::Serialize;

use crate::connect::engine;
use crate::error::{Error, Result};
use crate::operator::ask::ask;
use crate::operator::fleet::Fleet;
use crate::output::json;

/// Let a node release what it holds and etcd does not know
///
/// After etcd has lost its data, nodes keep what was reserved, as absence is no evidence. This is the evidence. What
/// etcd knows is released with `portkeep fleet unreserve`.
#[derive(Debug, Args)]
pub struct Forget {
    /// The node
    node: Name,
    /// The reservation's ID, as `portkeep ls` shows it on the node
    id: Name,
    /// How long to wait for the node
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    wait: u32,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Document<'a> {
    schema: u32,
    node: &'a Name,
    id: &'a Name,
    forgotten: bool,
}

impl Forget {
    pub(crate) async fn execute(&self) -> Result<ExitCode> {
        let engine = engine().await?;
        let fleet = Fleet::read(&engine).await?;
        if fleet.policies.contains_key(&self.id) || fleet.grants.contains_key(&self.id) {
            return Err(Error::refused(format!("etcd knows {}", self.id))
                .with_hint(format!("`portkeep fleet unreserve {}`", self.id)));
        }
        let nodes = BTreeSet::from([self.node.clone()]);
        let id = self.id.clone();
        let wait = Duration::from_secs(self.wait.into());
        let replies = ask(&engine, &nodes, &Ask::Forget { id }, wait).await?;
        match replies.get(&self.node) {
            None => {
                return Err(Error::undecided(format!("{} does not answer", self.node))
                    .with_hint("`portkeep fleet node ls` shows whether its agent is connected"));
            }
            Some(reply) => {
                if let Some(error) = &reply.error {
                    return Err(Error::refused(format!("{}: {error}", self.node)));
                }
            }
        }
        let mut out = io::stdout().lock();
        if self.json {
            let document = Document {
                schema: 1,
                node: &self.node,
                id: &self.id,
                forgotten: true,
            };
            writeln!(out, "{}", json(&document)?)?;
        } else {
            writeln!(out, "{} releases {}", self.node, self.id)?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
