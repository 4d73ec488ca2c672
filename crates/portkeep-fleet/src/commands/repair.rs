//! `portkeep fleet repair`

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use portkeep_fleet_core::data::{Ask, Key, Name, Phase};
use portkeep_fleet_core::engine::Revision;
use serde::Serialize;
use tokio::time::{Instant, sleep};

use crate::connect::engine;
use crate::engine::Engine;
use crate::error::{Error, Kind, Result};
use crate::operator::ask::ask;
use crate::operator::fleet::{Fleet, name_of};
use crate::operator::leftovers::{finish, waits_for_a_repair};
use crate::operator::standing::{Standing, words};
use crate::output::{json, write_table};

/// Finish what commands that died have left, and let nodes hold again what they do not hold
///
/// Ends what nobody prepares any more and completes what ends. The named nodes, or all with --all, try again to
/// hold the policies that `portkeep fleet drift` shows for them. Exit status 3 if something still differs.
#[derive(Debug, Args)]
pub struct Repair {
    /// Nodes that are to try again
    #[arg(value_name = "NODE")]
    nodes: Vec<Name>,
    /// All nodes are to try again
    #[arg(long, conflicts_with = "nodes")]
    all: bool,
    /// How long to wait for nodes
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    wait: u32,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Document {
    schema: u32,
    /// What was finished.
    finished: Vec<Finished>,
    /// What nodes have been asked to hold again, and how it stands now.
    repaired: Vec<Repaired>,
}

#[derive(Debug, Serialize)]
struct Finished {
    policy: String,
    id: String,
    /// It was never decided; otherwise it was ending.
    was_preparing: bool,
    /// Nodes have still to hear of its end.
    left: bool,
}

#[derive(Debug, Serialize)]
struct Repaired {
    node: String,
    policy: String,
    standing: Standing,
    explanation: String,
}

impl Repair {
    pub(crate) async fn execute(&self) -> Result<ExitCode> {
        let engine = engine().await?;
        let wait = Duration::from_secs(self.wait.into());
        let fleet = Fleet::read(&engine).await?;
        if let Some(unknown) = self.nodes.iter().find(|it| !fleet.nodes.contains_key(*it)) {
            return Err(Error::refused(format!("there is no node {unknown}"))
                .with_hint("`portkeep fleet node ls` shows them"));
        }
        // What a node keeps until it holds what has taken its place is finished after that node's new try.
        let waits = |id: &Name| waits_for_a_repair(&fleet, id);
        let mut finished = finish(&engine, &fleet, wait, |id| !waits(id)).await?;
        let repaired = self.try_again(&engine, wait).await?;
        let now = Fleet::read(&engine).await?;
        finished.extend(finish(&engine, &now, wait, waits).await?);
        let finished = finished.into_iter().map(|it| Finished {
            policy: it.name,
            id: it.id.to_string(),
            was_preparing: it.was_preparing,
            left: it.is_left,
        });
        let document = Document {
            schema: 1,
            finished: finished.collect(),
            repaired,
        };
        self.say(&document)
    }

    async fn try_again(&self, engine: &Engine, wait: Duration) -> Result<Vec<Repaired>> {
        let fleet = Fleet::read(engine).await?;
        let mut open: BTreeMap<Name, BTreeSet<Name>> = BTreeMap::new();
        let committed = fleet.policies.iter();
        for (id, record) in committed.filter(|(_, it)| it.phase == Phase::Committed) {
            let nodes = fleet.concerned(record);
            let nodes = nodes.filter(|(name, node)| {
                let asked = self.all || self.nodes.contains(name);
                asked && node.alive.is_some() && Standing::of(id, node).differs()
            });
            let nodes: BTreeSet<Name> = nodes.map(|(name, _)| name.clone()).collect();
            if !nodes.is_empty() {
                open.insert(id.clone(), nodes);
            }
        }
        // A node that tries again reports anew, also if it cannot.
        let mut before = reports(&fleet);
        let mut waiting: BTreeSet<Key> = BTreeSet::new();
        for (id, nodes) in &open {
            let replies = ask(engine, nodes, &Ask::Repair { id: id.clone() }, wait).await?;
            let tries = replies.iter().filter(|(_, reply)| reply.error.is_none());
            waiting.extend(tries.map(|(node, _)| Key::Have(node.clone(), id.clone())));
        }
        let end = Instant::now() + wait;
        loop {
            let fleet = Fleet::read(engine).await?;
            let now = reports(&fleet);
            before.retain(|key, revision| waiting.contains(key) && now.get(key) == Some(revision));
            let repaired = outcome(&fleet, &open);
            let pending = |it: &Repaired| it.standing == Standing::Pending;
            let is_done = before.is_empty() && !repaired.iter().any(pending);
            if is_done || Instant::now() > end {
                return Ok(repaired);
            }
            sleep(Duration::from_millis(100)).await;
        }
    }

    fn say(&self, document: &Document) -> Result<ExitCode> {
        let mut out = io::stdout().lock();
        if self.json {
            writeln!(out, "{}", json(document)?)?;
        } else {
            for it in &document.finished {
                let how = if it.was_preparing {
                    "was never decided"
                } else {
                    "was ending"
                };
                let done = match it.left {
                    true => "not all nodes have heard of its end yet",
                    false => "nothing is left of it",
                };
                writeln!(out, "{} ({}) {how}: {done}", it.policy, it.id)?;
            }
            let mut rows = vec![["NODE", "POLICY", "NOW", "WHY"].map(str::to_owned)];
            rows.extend(document.repaired.iter().map(|it| {
                [
                    it.node.clone(),
                    it.policy.clone(),
                    it.standing.word().to_owned(),
                    it.explanation.clone(),
                ]
            }));
            match rows.len() {
                1 if document.finished.is_empty() => writeln!(out, "There is nothing to repair")?,
                1 => {}
                _ => write_table(&mut out, &rows)?,
            }
        }
        let differs = document.repaired.iter();
        let differs = differs
            .filter(|it| it.standing != Standing::Enforced)
            .count()
            > 0;
        Ok(match differs {
            true => Kind::Differs.into(),
            false => ExitCode::SUCCESS,
        })
    }
}

fn reports(fleet: &Fleet) -> BTreeMap<Key, Revision> {
    let reads = fleet.reads.iter();
    let reports = reads.filter(|read| matches!(read.key, Key::Have(..)));
    let versions =
        reports.filter_map(|read| Some((read.key.clone(), read.found.as_ref()?.revision)));
    versions.collect()
}

fn outcome(fleet: &Fleet, asked: &BTreeMap<Name, BTreeSet<Name>>) -> Vec<Repaired> {
    let mut repaired = Vec::new();
    for (id, nodes) in asked {
        let Some(record) = fleet.policies.get(id) else {
            continue;
        };
        let nodes = nodes
            .iter()
            .filter_map(|node| Some((node, fleet.nodes.get(node)?)));
        repaired.extend(nodes.map(|(name, node)| Repaired {
            node: name.to_string(),
            policy: name_of(id, record).to_string(),
            standing: Standing::of(id, node),
            explanation: words(id, node),
        }));
    }
    repaired
}
