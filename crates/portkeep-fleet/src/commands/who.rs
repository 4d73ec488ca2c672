//! `portkeep fleet who`

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::Args;
use portkeep::PortRange;
use portkeep_fleet_core::data::{Name, Phase, Record};
use serde::Serialize;

use crate::connect::engine;
use crate::error::{Error, Result};
use crate::operator::fleet::{Fleet, Node, name_of};
use crate::operator::standing::Standing;
use crate::output::{json, write_table};

/// List who has a port on all nodes
///
/// Shows the reservations of the fleet. What a node has reserved for itself, `portkeep fleet why` asks it.
#[derive(Debug, Args)]
pub struct Who {
    /// The port, as 10042/udp
    #[arg(value_name = "PORT/tcp|udp")]
    port: PortRange,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Owner {
    node: String,
    /// `policy` or `grant`
    kind: &'static str,
    /// What people call the policy, or the ID of the grant.
    name: String,
    id: String,
    phase: Phase,
    ports: String,
    consumers: Vec<String>,
    owner: String,
    standing: Standing,
}

#[derive(Debug, Serialize)]
struct Document {
    schema: u32,
    port: String,
    owners: Vec<Owner>,
}

impl Who {
    pub(crate) async fn execute(&self) -> Result<ExitCode> {
        if self.port.start() != self.port.end() {
            return Err(Error::usage("name one port, as 10042/udp"));
        }
        let fleet = Fleet::read(&engine().await?).await?;
        let document = Document {
            schema: 1,
            port: self.port.to_string(),
            owners: self.owners(&fleet),
        };
        let mut out = io::stdout().lock();
        if self.json {
            writeln!(out, "{}", json(&document)?)?;
            return Ok(ExitCode::SUCCESS);
        }
        if document.owners.is_empty() {
            writeln!(out, "Nobody in the fleet has {}", self.port)?;
            return Ok(ExitCode::SUCCESS);
        }
        let head = ["NODE", "RESERVATION", "PORTS", "STANDING", "WHO MAY BIND"];
        let mut rows = vec![head.map(str::to_owned)];
        rows.extend(document.owners.iter().map(|owner| {
            let consumers = match owner.consumers.is_empty() {
                true => "nobody".to_owned(),
                false => owner.consumers.join(", "),
            };
            [
                owner.node.clone(),
                format!("{} {}", owner.kind, owner.name),
                owner.ports.clone(),
                owner.standing.word().to_owned(),
                consumers,
            ]
        }));
        write_table(&mut out, &rows)?;
        Ok(ExitCode::SUCCESS)
    }

    fn owners(&self, fleet: &Fleet) -> Vec<Owner> {
        let mut owners = Vec::new();
        for (id, record) in &fleet.policies {
            let nodes = fleet.concerned(record);
            owners.extend(self.of("policy", id, record, nodes));
        }
        for (id, record) in &fleet.grants {
            let nodes = fleet.nodes.iter();
            let nodes = nodes.filter(|(_, node)| node.haves.contains_key(id));
            owners.extend(self.of("grant", id, record, nodes));
        }
        owners.sort_by(|a, b| (&a.node, &a.name).cmp(&(&b.node, &b.name)));
        owners
    }

    fn of<'a>(
        &self,
        kind: &'static str,
        id: &Name,
        record: &Record,
        nodes: impl Iterator<Item = (&'a Name, &'a Node)>,
    ) -> Vec<Owner> {
        let ranges = record.ports.ranges().iter();
        let has = |range: &&PortRange| {
            range.protocol() == self.port.protocol() && range.contains(self.port.start())
        };
        let Some(range) = ranges.clone().find(has) else {
            return Vec::new();
        };
        nodes
            .map(|(name, node)| Owner {
                node: name.to_string(),
                kind,
                name: name_of(id, record).to_string(),
                id: id.to_string(),
                phase: record.phase,
                ports: range.to_string(),
                consumers: record.consumers.clone(),
                owner: record.owner.clone(),
                standing: Standing::of(id, node),
            })
            .collect()
    }
}
