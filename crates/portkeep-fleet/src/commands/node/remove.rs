use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::Args;
use portkeep_fleet_core::data::{FORMAT, Key, Name, Removed, Report, Unknown, Value};
use portkeep_fleet_core::engine::{Outcome, Read, Transaction};
use serde::Serialize;

use crate::connect::engine;
use crate::engine::{Engine, MAX_OPERATIONS};
use crate::error::{Error, Result};
use crate::output::json;

/// Take a machine out of the fleet
///
/// Its user and its role in etcd go, so its certificate opens nothing any more. What its kernel reserves
/// stays until somebody says `portkeep fleet forget` there. A node that holds something is removed only
/// with --gone. The certificate needs the common name root.
#[derive(Debug, Args)]
pub struct Remove {
    /// Name of the node
    node: Name,
    /// Remove it even though it holds reservations, because that machine does not come back
    #[arg(long)]
    gone: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Document<'a> {
    schema: u32,
    node: &'a Name,
    /// What its kernel keeps until somebody says `portkeep fleet forget` there.
    held: Vec<String>,
}

impl Remove {
    pub(crate) async fn execute(&self) -> Result<ExitCode> {
        let engine = engine().await?;
        let listing = engine.list(&format!("n/{}/", self.node)).await?;
        if listing.reads.is_empty() && listing.unreadable.is_empty() {
            return Err(Error::refused(format!("there is no node {}", self.node)));
        }
        let held = listing.reads.iter().filter_map(holds);
        let held: Vec<String> = held.map(Name::to_string).collect();
        if !held.is_empty() && !self.gone {
            return Err(
                Error::refused(format!("{} holds {}", self.node, held.join(", "))).with_hint(
                    "release them first; or `--gone`, if that machine does not come back",
                ),
            );
        }
        // First the role: from now on the node writes nothing.
        engine.expel(&self.node).await?;
        delete(&engine, &self.node).await?;
        let mut out = io::stdout().lock();
        if self.json {
            let document = Document {
                schema: 1,
                node: &self.node,
                held,
            };
            writeln!(out, "{}", json(&document)?)?;
        } else {
            writeln!(out, "{} is out of the fleet", self.node)?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn holds(read: &Read) -> Option<&Name> {
    let found = read.found.as_ref()?;
    match (&read.key, &found.value) {
        (Key::Have(_, id), Value::Have(have)) => {
            let held = matches!(have.report, Report::Held | Report::Offering);
            held.then_some(id)
        }
        (Key::Want(_, id), _) => Some(id),
        _ => None,
    }
}

/// Deletes what the node is and reports. What is asked of it stays, for whoever asked to clean up.
async fn delete(engine: &Engine, node: &Name) -> Result<()> {
    let listing = engine.list(&format!("n/{node}/")).await?;
    let mut keys: Vec<Key> = listing
        .reads
        .into_iter()
        .map(|read| read.key)
        .filter(|key| !matches!(key, Key::Want(..) | Key::Spec(_)))
        .collect();
    // The operator's word: no end waits for it any more.
    let removed = Value::Removed(Removed {
        format: FORMAT,
        by: String::new(),
        unknown: Unknown::new(),
    });
    let said = Transaction::default().put(Key::Removed(node.clone()), removed);
    if engine.transact(&said).await? == Outcome::Unknown {
        return Err(unknown(node));
    }
    // Last, so that a removal that was cut short can be repeated.
    keys.push(Key::Spec(node.clone()));
    for keys in keys.chunks(MAX_OPERATIONS) {
        let transaction = keys
            .iter()
            .fold(Transaction::default(), |all, key| all.delete(key.clone()));
        match engine.transact(&transaction).await? {
            Outcome::Done(_) | Outcome::Differs(_) => {}
            Outcome::Unknown => {
                return Err(unknown(node));
            }
        }
    }
    Ok(())
}

fn unknown(node: &Name) -> Error {
    Error::undecided(format!("whether {node} was removed is not known"))
        .with_hint("run the same command again")
}
