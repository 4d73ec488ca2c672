//! `portkeep fleet strangers`

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use portkeep_fleet_core::data::{Mode, Name};
use serde::Serialize;
use tokio::time::{Instant, sleep};

use crate::connect::engine;
use crate::error::{Error, Kind, Result};
use crate::operator::ask::ask;
use crate::operator::fleet::{Fleet, the_policy};
use crate::operator::policy::{Chosen, Consumers, Wish};
use crate::operator::report::{InTheWay, nodes, rows};
use crate::operator::waves::time;
use crate::output::{json, write_table};

/// Between two looks.
const PAUSE: Duration = Duration::from_secs(5);

/// Show who uses the ports of an exclusion; exit status 3 if somebody does
///
/// These would be in the way of a reservation of the ports for these users, groups and cgroups. Nodes are asked again and again with --for; what came and went between two looks is not seen.
#[derive(Debug, Args)]
pub struct Strangers {
    /// The exclusion, by name or ID
    #[arg(value_name = "POLICY")]
    name: Name,
    #[command(flatten)]
    consumers: Consumers,
    /// Look every five seconds for so long, as 90, 15m or 2h, and show all that was seen
    #[arg(long = "for", value_name = "TIME", value_parser = time)]
    span: Option<Duration>,
    /// How long nodes have to answer
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    wait: u32,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Document {
    schema: u32,
    policy: Name,
    /// How often the nodes were asked.
    looks: u32,
    /// How many nodes have answered each time.
    nodes: usize,
    strangers: Vec<InTheWay>,
    /// Nodes that were not connected, or have not answered, at least once.
    silent: Vec<String>,
}

impl Strangers {
    pub(crate) async fn execute(&self) -> Result<ExitCode> {
        let engine = engine().await?;
        let end = Instant::now() + self.span.unwrap_or_default();
        let mut seen: BTreeMap<Name, InTheWay> = BTreeMap::new();
        let (mut answered, mut silent): (BTreeSet<Name>, BTreeSet<Name>) = Default::default();
        let mut looks = 0;
        loop {
            let fleet = Fleet::read(&engine).await?;
            let (id, record) = the_policy(&fleet, &self.name)?;
            if record.mode == Mode::Reserve {
                return Err(Error::refused(format!(
                    "{} is a reservation: the kernel refuses strangers there",
                    self.name
                )));
            }
            let wish = Wish {
                mode: Mode::Reserve,
                consumers: self.consumers.words(),
                ..Wish::of(&self.name, record)
            };
            let chosen = Chosen::of(&fleet, record);
            let question = wish.question(Some(id));
            let wait = Duration::from_secs(self.wait.into());
            let replies = ask(&engine, &chosen.up, &question, wait).await?;
            let found = replies
                .iter()
                .filter_map(|(node, reply)| Some((node, InTheWay::replied(node, reply)?)));
            for (node, found) in found {
                match seen.get_mut(node) {
                    Some(known) => known.add(found),
                    None => drop(seen.insert(node.clone(), found)),
                }
            }
            silent.extend(chosen.down);
            let quiet = chosen.up.iter().filter(|it| !replies.contains_key(*it));
            silent.extend(quiet.cloned());
            answered.extend(replies.into_keys());
            looks += 1;
            if Instant::now() >= end {
                break;
            }
            sleep(PAUSE.min(end - Instant::now())).await;
        }
        self.say(&Document {
            schema: 1,
            policy: self.name.clone(),
            looks,
            nodes: answered.difference(&silent).count(),
            strangers: seen.into_values().collect(),
            silent: silent.iter().map(Name::to_string).collect(),
        })
    }

    fn say(&self, document: &Document) -> Result<ExitCode> {
        let mut out = io::stdout().lock();
        if self.json {
            writeln!(out, "{}", json(document)?)?;
        } else if document.strangers.is_empty() {
            let on = nodes(document.nodes);
            writeln!(out, "Nobody else uses the ports of {} on {on}", self.name)?;
        } else {
            write_table(&mut out, &rows(&document.strangers))?;
        }
        if !self.json && !document.silent.is_empty() {
            writeln!(out, "Not heard of: {}", document.silent.join(", "))?;
        }
        Ok(match document.strangers.is_empty() {
            true => ExitCode::SUCCESS,
            false => Kind::Differs.into(),
        })
    }
}
