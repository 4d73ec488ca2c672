//! `portkeep fleet why`

use std::collections::BTreeSet;
use std::io::{self, Write as _};
use std::process::ExitCode;
use std::str::FromStr;
use std::time::Duration;

use clap::Args;
use portkeep::PortRange;
use portkeep_fleet_core::data::{Ask, Name};
use serde::Serialize;

use crate::connect::engine;
use crate::error::{Error, Result};
use crate::operator::ask::ask;
use crate::operator::fleet::Fleet;
use crate::output::{escaped, json};

/// Ask a node for the answer of `portkeep why`
#[derive(Debug, Args)]
pub struct Why {
    /// The node and the port, as media-07:10042/udp
    #[arg(value_name = "NODE:PORT/tcp|udp")]
    place: Place,
    /// How long to wait for the node
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    wait: u32,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Debug)]
struct Place {
    node: Name,
    port: String,
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Place, String> {
        let parse = || {
            let (node, port) = text.rsplit_once(':')?;
            let range: PortRange = port.parse().ok()?;
            let one = range.start() == range.end();
            let place = Place {
                node: node.parse().ok()?,
                port: port.to_owned(),
            };
            one.then_some(place)
        };
        parse().ok_or_else(|| "expected a node and a port, as media-07:10042/udp".to_owned())
    }
}

#[derive(Debug, Serialize)]
struct Document<'a> {
    schema: u32,
    node: &'a Name,
    port: &'a str,
    /// The document of `portkeep why --json` there.
    answer: &'a serde_json::Value,
}

impl Why {
    pub(crate) async fn execute(&self) -> Result<ExitCode> {
        let engine = engine().await?;
        let Place { node, port } = &self.place;
        if !Fleet::read(&engine).await?.nodes.contains_key(node) {
            return Err(Error::refused(format!("there is no node {node}"))
                .with_hint("`portkeep fleet node ls` shows them"));
        }
        let question = Ask::Why { port: port.clone() };
        let wait = Duration::from_secs(self.wait.into());
        let replies = ask(&engine, &BTreeSet::from([node.clone()]), &question, wait).await?;
        let Some(reply) = replies.get(node) else {
            return Err(Error::undecided(format!("{node} does not answer"))
                .with_hint("`portkeep fleet node ls` shows whether its agent is connected"));
        };
        if let Some(error) = &reply.error {
            return Err(Error::refused(format!("{node}: {error}")));
        }
        let answer = reply.document.clone().unwrap_or_default();
        let mut out = io::stdout().lock();
        if self.json {
            let document = Document {
                schema: 1,
                node,
                port,
                answer: &answer,
            };
            writeln!(out, "{}", json(&document)?)?;
            return Ok(ExitCode::SUCCESS);
        }
        let explanation = answer["explanation"].as_str().unwrap_or_default();
        writeln!(out, "{node}: {}", escaped(explanation))?;
        for note in answer["notes"].as_array().into_iter().flatten() {
            writeln!(out, "Note: {}.", escaped(note.as_str().unwrap_or_default()))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
