//! `portkeep fleet unreserve`

use std::io::{self, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use portkeep_fleet_core::coordinator::{Answer, Goal};
use portkeep_fleet_core::data::{Kind, Name, Report};
use serde::Serialize;

use crate::connect::engine;
use crate::error::{Error, Result};
use crate::operator::drive::resume_held;
use crate::operator::fleet::Fleet;
use crate::operator::report::nodes;
use crate::operator::standing::Standing;
use crate::output::json;

/// End a policy: all nodes release its ports
///
/// From the command's decision on, it is on its way: a node that is not connected releases the ports when it
/// hears of it, and keeps them closed until then.
#[derive(Debug, Args)]
pub struct Unreserve {
    /// The policy, by name or ID
    #[arg(value_name = "POLICY")]
    name: Name,
    /// How long to wait until all nodes have released the ports
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    wait: u32,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Document {
    schema: u32,
    policy: Name,
    /// The records that were ended.
    ids: Vec<Name>,
    /// How many nodes had it.
    nodes: usize,
    /// Nodes that have still to release it.
    left: Vec<String>,
}

impl Unreserve {
    pub(crate) async fn execute(&self) -> Result<ExitCode> {
        let engine = engine().await?;
        let mut document = Document {
            schema: 1,
            policy: self.name.clone(),
            ids: Vec::new(),
            nodes: 0,
            left: Vec::new(),
        };
        // A change that is decided meanwhile takes the place of what is being ended, and is ended next.
        loop {
            let fleet = Fleet::read(&engine).await?;
            let mut named = fleet.policies_named(&self.name);
            // A node may keep a policy until a change of it that nobody decided is over.
            named.sort_by_key(|(_, record)| record.phase);
            let Some((id, record)) = named
                .into_iter()
                .find(|(id, _)| !document.ids.contains(*id))
            else {
                break;
            };
            let concerned = fleet.concerned(record);
            let held = concerned.filter(|(_, node)| Standing::of(id, node) == Standing::Enforced);
            document.nodes = document.nodes.max(held.count());
            document.ids.push(id.clone());
            let wait = Duration::from_secs(self.wait.into());
            let driven = resume_held(&engine, Kind::Policy, id, Goal::Release, wait).await?;
            if driven.answer == Answer::Unknown {
                return Err(Error::undecided("etcd's answer was lost")
                    .with_hint("run the same command again"));
            }
            if driven.is_left {
                let fleet = Fleet::read(&engine).await?;
                let open = fleet.nodes.iter().filter(|(_, node)| {
                    let have = node.haves.get(id);
                    have.is_some_and(|have| have.report != Report::Released)
                });
                document.left.extend(open.map(|(name, _)| name.to_string()));
            }
        }
        if document.ids.is_empty() {
            return Err(Error::refused(format!("there is no policy {}", self.name))
                .with_hint("`portkeep fleet status` shows them"));
        }
        self.say(&document)
    }

    fn say(&self, document: &Document) -> Result<ExitCode> {
        let mut out = io::stdout().lock();
        if self.json {
            writeln!(out, "{}", json(document)?)?;
        } else if document.left.is_empty() {
            writeln!(
                out,
                "{} is released on {}",
                self.name,
                nodes(document.nodes)
            )?;
        } else {
            let left = document.left.join(", ");
            writeln!(
                out,
                "{} ends, and stays closed on these nodes until they hear of that: {left}",
                self.name
            )?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
