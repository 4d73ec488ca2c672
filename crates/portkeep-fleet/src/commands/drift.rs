//! `portkeep fleet drift`

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::Args;
use portkeep_fleet_core::data::Phase;
use serde::Serialize;

use crate::connect::engine;
use crate::error::{Kind, Result};
use crate::operator::fleet::{Fleet, name_of};
use crate::operator::standing::{Standing, words};
use crate::output::{json, write_table};

/// Show where nodes differ from what was decided; exit status 3 if one does
///
/// A node that is not connected is no difference: its kernel goes on with what it enforces.
#[derive(Debug, Args)]
pub struct Drift {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Difference {
    node: String,
    policy: String,
    ports: Vec<String>,
    standing: Standing,
    explanation: String,
}

#[derive(Debug, Serialize)]
struct Document {
    schema: u32,
    differences: Vec<Difference>,
    /// What commands that died have left, and no command has finished.
    unfinished: Vec<String>,
}

impl Drift {
    pub(crate) async fn execute(&self) -> Result<ExitCode> {
        let fleet = Fleet::read(&engine().await?).await?;
        let document = document(&fleet);
        let mut out = io::stdout().lock();
        if self.json {
            writeln!(out, "{}", json(&document)?)?;
        } else {
            let mut rows = vec![["NODE", "POLICY", "WHAT"].map(str::to_owned)];
            rows.extend(document.differences.iter().map(|it| {
                let what = format!(
                    "{} {}: {}",
                    it.ports.join(","),
                    it.standing.word(),
                    it.explanation
                );
                [it.node.clone(), it.policy.clone(), what]
            }));
            if rows.len() > 1 {
                write_table(&mut out, &rows)?;
            }
            for name in &document.unfinished {
                writeln!(
                    out,
                    "{name} was left in the middle; `portkeep fleet repair` finishes it"
                )?;
            }
            if document.is_empty() {
                writeln!(out, "No node that is connected differs")?;
            }
        }
        Ok(match document.is_empty() {
            true => ExitCode::SUCCESS,
            false => Kind::Differs.into(),
        })
    }
}

impl Document {
    fn is_empty(&self) -> bool {
        self.differences.is_empty() && self.unfinished.is_empty()
    }
}

fn document(fleet: &Fleet) -> Document {
    let committed = fleet.policies.iter();
    let committed = committed.filter(|(_, record)| record.phase == Phase::Committed);
    let differences = committed.flat_map(|(id, record)| {
        let nodes = fleet.concerned(record);
        nodes
            .filter(|(_, node)| Standing::of(id, node).differs())
            .map(move |(name, node)| Difference {
                node: name.to_string(),
                policy: name_of(id, record).to_string(),
                ports: record.ports.clone().into(),
                standing: Standing::of(id, node),
                explanation: words(id, node),
            })
    });
    let mut differences: Vec<Difference> = differences.collect();
    differences.sort_by(|a, b| (&a.node, &a.policy).cmp(&(&b.node, &b.policy)));
    let unfinished = fleet.leftovers();
    Document {
        schema: 1,
        differences,
        unfinished: unfinished
            .map(|(_, id, record)| name_of(id, record).to_string())
            .collect(),
    }
}
