use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::Args;
use portkeep_fleet_core::data::{Key, Name, Report, Value};
use serde::Serialize;

use crate::connect::engine;
use crate::engine::Listing;
use crate::error::Result;
use crate::output::{json, write_table};

/// List the machines
#[derive(Debug, Args)]
pub struct Ls {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Default, Serialize)]
struct Node {
    name: String,
    labels: BTreeMap<String, String>,
    /// Whether its agent is connected.
    connected: bool,
    held: u32,
    /// Refused, in conflict or lost.
    not_held: u32,
}

#[derive(Debug, Serialize)]
struct Document {
    schema: u32,
    nodes: Vec<Node>,
}

impl Ls {
    pub(crate) async fn execute(&self) -> Result<ExitCode> {
        let listing = engine().await?.list("n/").await?;
        let nodes = nodes(&listing);
        let mut out = io::stdout().lock();
        if self.json {
            let document = Document { schema: 1, nodes };
            writeln!(out, "{}", json(&document)?)?;
            return Ok(ExitCode::SUCCESS);
        }
        let head = ["NODE", "LABELS", "AGENT", "HELD", "NOT HELD"];
        let mut rows = vec![head.map(str::to_owned)];
        rows.extend(nodes.iter().map(row));
        write_table(&mut out, &rows)?;
        Ok(ExitCode::SUCCESS)
    }
}

fn row(node: &Node) -> [String; 5] {
    let labels: Vec<String> = node
        .labels
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let agent = if node.connected {
        "connected"
    } else {
        "not heard of"
    };
    [
        node.name.clone(),
        labels.join(","),
        agent.to_owned(),
        node.held.to_string(),
        node.not_held.to_string(),
    ]
}

fn nodes(listing: &Listing) -> Vec<Node> {
    let mut nodes: BTreeMap<&Name, Node> = BTreeMap::new();
    for read in &listing.reads {
        let (Some(name), Some(found)) = (read.key.node(), &read.found) else {
            continue;
        };
        let node = nodes.entry(name).or_default();
        name.as_str().clone_into(&mut node.name);
        match (&read.key, &found.value) {
            (Key::Spec(_), Value::Spec(spec)) => node.labels = spec.labels.clone(),
            (Key::Alive(_), _) => node.connected = true,
            (Key::Have(..), Value::Have(have)) => match have.report {
                Report::Held => node.held += 1,
                Report::Refused | Report::Conflict | Report::Lost => node.not_held += 1,
                Report::Offering | Report::Released => {}
            },
            _ => {}
        }
    }
    nodes.into_values().collect()
}
