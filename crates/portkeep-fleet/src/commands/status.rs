//! `portkeep fleet status`

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::Args;
use portkeep_fleet_core::data::{Mode, Name, Phase, Record, Selector};
use serde::Serialize;

use crate::connect::engine;
use crate::error::{Error, Result};
use crate::operator::fleet::{Fleet, name_of};
use crate::operator::standing::{Standing, words};
use crate::output::{json, write_table};

/// Show the policies, and on how many nodes each is enforced; with a policy, on which it is not, and why
#[derive(Debug, Args)]
pub struct Status {
    /// The policy, by name or ID
    #[arg(value_name = "POLICY")]
    name: Option<Name>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Policy {
    policy: String,
    id: String,
    generation: u64,
    phase: Phase,
    mode: Mode,
    ports: Vec<String>,
    on: String,
    except: Vec<String>,
    /// The only nodes so far of a rollout in waves.
    only: Option<Vec<String>>,
    consumers: Vec<String>,
    comment: String,
    nodes: usize,
    enforced: usize,
    pending: usize,
    conflict: usize,
    lost: usize,
    unknown: usize,
    /// Where it is not enforced.
    differences: Vec<Difference>,
}

#[derive(Debug, Serialize)]
struct Difference {
    node: String,
    standing: Standing,
    explanation: String,
}

#[derive(Debug, Serialize)]
struct Document {
    schema: u32,
    policies: Vec<Policy>,
    unreadable: Vec<String>,
}

impl Status {
    pub(crate) async fn execute(&self) -> Result<ExitCode> {
        let fleet = Fleet::read(&engine().await?).await?;
        let policies = fleet.policies.iter().filter(|(id, record)| {
            let name = self.name.as_ref();
            name.is_none_or(|name| name_of(id, record) == name || *id == name)
        });
        let policies: Vec<Policy> = policies
            .map(|(id, record)| policy(&fleet, id, record))
            .collect();
        if let (Some(name), []) = (&self.name, &policies[..]) {
            return Err(Error::refused(format!("there is no policy {name}"))
                .with_hint("`portkeep fleet status` shows them"));
        }
        let unreadable = fleet.unreadable.iter();
        let document = Document {
            schema: 1,
            policies,
            unreadable: unreadable.map(|it| it.why.clone()).collect(),
        };
        self.say(&document)
    }

    fn say(&self, document: &Document) -> Result<ExitCode> {
        let mut out = io::stdout().lock();
        if self.json {
            writeln!(out, "{}", json(document)?)?;
            return Ok(ExitCode::SUCCESS);
        }
        let head = [
            "POLICY", "PORTS", "ON", "PHASE", "NODES", "ENFORCED", "PENDING", "CONFLICT", "LOST",
            "UNKNOWN",
        ];
        let mut rows = vec![head.map(str::to_owned)];
        rows.extend(document.policies.iter().map(row));
        write_table(&mut out, &rows)?;
        if self.name.is_some() {
            let differences = document.policies.iter().flat_map(|it| &it.differences);
            let mut rows = vec![["NODE", "STANDING", "WHY"].map(str::to_owned)];
            rows.extend(differences.map(|it| {
                [
                    it.node.clone(),
                    it.standing.word().to_owned(),
                    it.explanation.clone(),
                ]
            }));
            if rows.len() > 1 {
                writeln!(out)?;
                write_table(&mut out, &rows)?;
            }
        }
        for policy in document.policies.iter().filter(|it| it.only.is_some()) {
            writeln!(
                out,
                "Note: {} is on the nodes of its first waves; `portkeep fleet reserve` or `exclude` with the same \
                 arguments goes on",
                policy.policy
            )?;
        }
        for why in &document.unreadable {
            writeln!(out, "Note: {why}")?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn row(policy: &Policy) -> [String; 10] {
    let counts = [
        policy.nodes,
        policy.enforced,
        policy.pending,
        policy.conflict,
        policy.lost,
        policy.unknown,
    ];
    let [nodes, enforced, pending, conflict, lost, unknown] = counts.map(|count| count.to_string());
    let phase = match policy.phase {
        Phase::Preparing => "preparing",
        Phase::Committed => "committed",
        Phase::Ending => "ending",
    };
    [
        policy.policy.clone(),
        policy.ports.join(","),
        policy.on.clone(),
        phase.to_owned(),
        nodes,
        enforced,
        pending,
        conflict,
        lost,
        unknown,
    ]
}

fn policy(fleet: &Fleet, id: &Name, record: &Record) -> Policy {
    let concerned: Vec<_> = fleet.concerned(record).collect();
    let count = |wanted: Standing| {
        let nodes = concerned.iter();
        nodes
            .filter(|(_, node)| Standing::of(id, node) == wanted)
            .count()
    };
    let differences = concerned.iter().filter_map(|(name, node)| {
        let standing = Standing::of(id, node);
        (standing != Standing::Enforced).then(|| Difference {
            node: name.to_string(),
            standing,
            explanation: words(id, node),
        })
    });
    Policy {
        policy: name_of(id, record).to_string(),
        id: id.to_string(),
        generation: record.generation,
        phase: record.phase,
        mode: record.mode,
        ports: record.ports.clone().into(),
        on: selector(&record.selector),
        except: record.except.iter().map(Name::to_string).collect(),
        only: record
            .only
            .as_ref()
            .map(|only| only.iter().map(Name::to_string).collect()),
        consumers: record.consumers.clone(),
        comment: record.comment.clone(),
        nodes: concerned.len(),
        enforced: count(Standing::Enforced),
        pending: count(Standing::Pending),
        conflict: count(Standing::Conflict),
        lost: count(Standing::Lost),
        unknown: count(Standing::Unknown),
        differences: differences.collect(),
    }
}

fn selector(selector: &Selector) -> String {
    let labels = selector.0.iter();
    let labels: Vec<String> = labels
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    match labels.is_empty() {
        true => "all".to_owned(),
        false => labels.join(","),
    }
}
