use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::Args;
use portkeep_fleet_core::data::{Key, Name, Spec, Value};
use portkeep_fleet_core::engine::{Outcome, Transaction};
use serde::Serialize;

use crate::config::labels;
use crate::connect::engine;
use crate::engine::{Engine, Role};
use crate::error::{Error, Result};
use crate::output::json;

/// Let a machine join
///
/// Makes the user and the role of the node in etcd. If the node is there, its labels become those that are
/// given now. The certificate needs the common name root.
#[derive(Debug, Args)]
pub struct Add {
    /// Name of the node, which is the common name of its certificate
    node: Name,
    /// A label that `reserve --on` can select, as role=media
    #[arg(long, value_name = "NAME=VALUE")]
    label: Vec<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Document<'a> {
    schema: u32,
    node: &'a Name,
    /// Whether it was not there before.
    added: bool,
    labels: &'a std::collections::BTreeMap<String, String>,
}

impl Add {
    pub(crate) async fn execute(&self) -> Result<ExitCode> {
        if self.node.as_str() == "root" {
            return Err(Error::usage(
                "root is etcd's own user, and cannot be a node",
            ));
        }
        let labels = labels(&self.label)?;
        let engine = engine().await?;
        engine
            .admit(self.node.as_str(), &Role::Node(self.node.clone()))
            .await?;
        let added = write(&engine, &self.node, &labels).await?;
        let mut out = io::stdout().lock();
        if self.json {
            let document = Document {
                schema: 1,
                node: &self.node,
                added,
                labels: &labels,
            };
            writeln!(out, "{}", json(&document)?)?;
        } else if added {
            writeln!(
                out,
                "{0} may join; its certificate needs the common name {0}",
                self.node
            )?;
        } else {
            writeln!(out, "{} was there; its labels are as given now", self.node)?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

async fn write(
    engine: &Engine,
    node: &Name,
    labels: &std::collections::BTreeMap<String, String>,
) -> Result<bool> {
    let key = Key::Spec(node.clone());
    let user = std::env::var("SUDO_USER").or_else(|_| std::env::var("USER"));
    let mut spec = Spec::new(labels.clone());
    spec.admitted_by = user.unwrap_or_default();
    let mut expected = None;
    loop {
        let transaction = Transaction::default()
            .expect(key.clone(), expected)
            .delete(Key::Removed(node.clone()))
            .put(key.clone(), Value::Spec(spec.clone()));
        let found = match engine.transact(&transaction).await? {
            Outcome::Done(_) => return Ok(expected.is_none()),
            Outcome::Differs(reads) => reads.into_iter().next().and_then(|read| read.found),
            Outcome::Unknown => {
                return Err(
                    Error::undecided(format!("whether {node} was added is not known"))
                        .with_hint("run the same command again"),
                );
            }
        };
        expected = found.as_ref().map(|found| found.revision);
        if let Some(Value::Spec(known)) = found.map(|found| found.value) {
            spec = Spec {
                labels: labels.clone(),
                ..known
            };
        }
    }
}
