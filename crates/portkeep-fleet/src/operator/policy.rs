//! What an operator's reservation is to be, from arguments of several commands.

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;
use portkeep::PortRange;
use portkeep_fleet_core::data::{Ask, Members, Mode, Name, Ports, Record, Selector};

use super::fleet::Fleet;
use super::reserve::{Terms, reserve};
use super::said::say;
use crate::config::labels;
use crate::connect::engine;
use crate::error::{Error, Result};

/// On which nodes.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Nodes")]
pub struct Nodes {
    /// Labels that a node has to have, as role=media; `all` for all nodes
    #[arg(
        long,
        value_name = "LABEL=VALUE,…|all",
        value_delimiter = ',',
        required = true
    )]
    on: Vec<String>,
    /// Nodes that are left out, now and later
    #[arg(long, value_name = "NODE,…", value_delimiter = ',')]
    except: Vec<Name>,
    /// Leave nodes whose agent is not connected for later: they take the policy over when they are back
    #[arg(long)]
    pub skip_down: bool,
}

impl Nodes {
    /// The labels.
    ///
    /// # Errors
    ///
    /// If they are not labels.
    pub fn selector(&self) -> Result<Selector> {
        match &self.on[..] {
            [all] if all == "all" => Ok(Selector::default()),
            texts => Ok(Selector(labels(texts)?)),
        }
    }

    /// The nodes that are left out.
    pub fn except(&self) -> BTreeSet<Name> {
        self.except.iter().cloned().collect()
    }
}

/// Who may bind there.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Who may bind")]
pub struct Consumers {
    /// A user, by name or number, as each node knows it; can be repeated
    #[arg(long, value_name = "USER")]
    user: Vec<String>,
    /// A group, by name or number, as each node knows it; can be repeated
    #[arg(long, value_name = "GROUP")]
    group: Vec<String>,
    /// A cgroup and those below it, by path or systemd unit; can be repeated
    #[arg(long, value_name = "CGROUP")]
    cgroup: Vec<String>,
}

impl Consumers {
    /// As nodes' stores take them.
    pub fn words(&self) -> Vec<String> {
        let kinds = [
            ("user", &self.user),
            ("group", &self.group),
            ("cgroup", &self.cgroup),
        ];
        let words = kinds
            .into_iter()
            .flat_map(|(kind, names)| names.iter().map(move |name| format!("{kind} {name}")));
        words.collect()
    }
}

/// Ports, as `10000-20000/udp`; `both` is TCP and UDP.
///
/// # Errors
///
/// If they are none, or have a port in common.
pub fn ports(texts: &[String]) -> Result<Ports> {
    let mut ranges: Vec<PortRange> = Vec::new();
    for text in texts {
        let numbers = text.strip_suffix("/both");
        let texts = match numbers {
            Some(numbers) => vec![format!("{numbers}/tcp"), format!("{numbers}/udp")],
            None => vec![text.clone()],
        };
        for text in texts {
            let range = text.parse();
            ranges.push(range.map_err(|error| Error::usage(format!("{text}: {error}")))?);
        }
    }
    Ports::new(ranges).map_err(|error| Error::usage(error.to_string()))
}

/// A policy that is to be made.
#[derive(Clone, Debug, Args)]
pub struct Policy {
    /// What to call it
    #[arg(value_name = "POLICY")]
    name: Name,
    /// The ports, as 10000-20000/udp
    #[arg(value_name = "A-B/tcp|udp|both", required = true)]
    ports: Vec<String>,
    #[command(flatten)]
    nodes: Nodes,
    /// A note that everybody sees with it
    #[arg(long, value_name = "TEXT", default_value = "")]
    comment: String,
    /// Change nothing; show which nodes could, and what is in the way on the others
    #[arg(long)]
    dry_run: bool,
    /// How long nodes have to answer; one that does not cannot
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    wait: u32,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Policy {
    /// Makes it, and says what became of it.
    ///
    /// # Errors
    ///
    /// As [`reserve`].
    pub async fn make(&self, mode: Mode, consumers: Vec<String>) -> Result<ExitCode> {
        let wish = Wish {
            name: self.name.clone(),
            ports: ports(&self.ports)?,
            selector: self.nodes.selector()?,
            except: self.nodes.except(),
            consumers,
            mode,
            comment: self.comment.clone(),
        };
        let terms = Terms {
            skip_down: self.nodes.skip_down,
            wait: Duration::from_secs(self.wait.into()),
            dry_run: self.dry_run,
        };
        let engine = engine().await?;
        let start = Instant::now();
        let reserved = reserve(&engine, &wish, terms).await?;
        say(&reserved, &wish, start.elapsed(), self.json)
    }
}

/// What is in a record besides its phase and its members.
#[derive(Clone, Debug)]
pub struct Wish {
    /// What people call it.
    pub name: Name,
    /// Which ports.
    pub ports: Ports,
    /// Which nodes.
    pub selector: Selector,
    /// Which not.
    pub except: BTreeSet<Name>,
    /// Who may bind.
    pub consumers: Vec<String>,
    /// What it does to strangers.
    pub mode: Mode,
    /// A note for people.
    pub comment: String,
}

impl Wish {
    /// The record, to be prepared.
    pub fn record(&self) -> Record {
        Record {
            name: Some(self.name.clone()),
            selector: self.selector.clone(),
            except: self.except.clone(),
            consumers: self.consumers.clone(),
            mode: self.mode,
            comment: self.comment.clone(),
            ..Record::preparing(self.ports.clone(), Members::Pieces(0))
        }
    }

    /// What a node is asked that is to say what would be in the way.
    pub fn question(&self) -> Ask {
        Ask::Try {
            ports: self.ports.clone(),
            consumers: self.consumers.clone(),
            mode: self.mode,
        }
    }

    /// Whether a record is just that already.
    pub fn is(&self, record: &Record) -> bool {
        let own = self.record();
        Record {
            phase: own.phase,
            members: own.members.clone(),
            replaces: None,
            generation: own.generation,
            owner: own.owner.clone(),
            ..record.clone()
        } == own
    }
}

/// The nodes that are asked, and those that are left for later.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chosen {
    /// The members of all or nothing.
    pub up: BTreeSet<Name>,
    /// Their agents are not connected.
    pub down: BTreeSet<Name>,
}

impl Chosen {
    /// The nodes that a record is for.
    pub fn of(fleet: &Fleet, record: &Record) -> Chosen {
        let mut chosen = Chosen::default();
        for (name, node) in fleet.concerned(record) {
            let side = match node.alive {
                Some(_) => &mut chosen.up,
                None => &mut chosen.down,
            };
            side.insert(name.clone());
        }
        chosen
    }
}
