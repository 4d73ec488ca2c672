//! What an operator's reservation is to be, from arguments of several commands.

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::time::Instant;

use clap::Args;
use portkeep::{PortRange, Protocol};
use portkeep_fleet_core::data::{Ask, Members, Mode, Name, Ports, Record, Selector};

use super::choice::{counts, fits, leave_out, numbers};
use super::fleet::Fleet;
use super::reserve::{Reserved, Terms, cleared};
use super::rollout::roll_out;
use super::said::{say, say_wave};
use super::waves::WaveArguments;
use crate::config::labels;
use crate::connect::engine;
use crate::error::{Error, Result};
use crate::jobs::acquire::TRIES;

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
    /// The ports, as 10000-20000/udp; with --count only the protocol
    #[arg(value_name = "A-B/tcp|udp|both", required = true)]
    ports: Vec<String>,
    /// Have the fleet choose so many ports in a row from its band: free on all nodes, and nobody else's in the fleet
    #[arg(long, value_name = "PORTS", value_parser = clap::value_parser!(u16).range(1..))]
    count: Option<u16>,
    #[command(flatten)]
    nodes: Nodes,
    /// A note that everybody sees with it
    #[arg(long, value_name = "TEXT", default_value = "")]
    comment: String,
    /// Change nothing; show which nodes could, and what is in the way on the others
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    waves: WaveArguments,
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
    /// As [`roll_out`].
    pub async fn make(&self, mode: Mode, consumers: Vec<String>) -> Result<ExitCode> {
        let selector = self.nodes.selector()?;
        let wish = |ports: Ports| Wish {
            name: self.name.clone(),
            ports,
            selector: selector.clone(),
            except: self.nodes.except(),
            consumers: consumers.clone(),
            mode,
            comment: self.comment.clone(),
            only: None,
        };
        let (given, counts) = match self.count {
            Some(count) => (None, counts(&self.ports, count)?),
            None => (Some(ports(&self.ports)?), [(Protocol::Tcp, 0); 2]),
        };
        let terms = Terms::new(self.nodes.skip_down, self.wait, self.dry_run);
        let waves = self.waves.waves()?;
        let engine = engine().await?;
        let start = Instant::now();
        let each = |wave: &Reserved, wish: &Wish| match self.json {
            true => Ok(()),
            false => say_wave(wave, wish),
        };
        let Some(ports) = given else {
            let fleet = cleared(&engine, terms).await?;
            let known = fleet.policies_named(&self.name);
            let mut known = known.into_iter().map(|(_, record)| record.ports.clone());
            // What it was given before, it keeps.
            let known = known.find(|ports| fits(ports, &counts));
            let mut numbers = numbers(&fleet, counts)?;
            for left in (0..TRIES).rev() {
                let ports = match &known {
                    Some(ports) => ports.clone(),
                    None => numbers.choose(&fleet, &[]).map_err(Error::refused)?,
                };
                let wish = wish(ports);
                let reserved = roll_out(&engine, &wish, terms, &waves, each).await?;
                let again = known.is_none() && leave_out(&mut numbers, &wish.ports, &reserved);
                if left == 0 || !again {
                    return say(&reserved, &wish, start.elapsed(), self.json);
                }
            }
            return Err(Error::refused("no ports are free on all nodes"));
        };
        let wish = wish(ports);
        let reserved = roll_out(&engine, &wish, terms, &waves, each).await?;
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
    /// The only nodes for now.
    pub only: Option<BTreeSet<Name>>,
}

impl Wish {
    /// What a policy is, to be changed.
    pub fn of(name: &Name, record: &Record) -> Wish {
        Wish {
            name: record.name.clone().unwrap_or_else(|| name.clone()),
            ports: record.ports.clone(),
            selector: record.selector.clone(),
            except: record.except.clone(),
            consumers: record.consumers.clone(),
            mode: record.mode,
            comment: record.comment.clone(),
            only: record.only.clone(),
        }
    }

    /// The record, to be prepared.
    pub fn record(&self) -> Record {
        Record {
            name: Some(self.name.clone()),
            selector: self.selector.clone(),
            except: self.except.clone(),
            consumers: self.consumers.clone(),
            mode: self.mode,
            comment: self.comment.clone(),
            only: self.only.clone(),
            ..Record::preparing(self.ports.clone(), Members::Pieces(0))
        }
    }

    /// What a node is asked that is to say what would be in the way, if this takes the place of another.
    pub fn question(&self, replaces: Option<&Name>) -> Ask {
        Ask::Try {
            ports: self.ports.clone(),
            replaces: replaces.cloned(),
            consumers: self.consumers.clone(),
            mode: self.mode,
        }
    }

    /// Whether a record is just that already, on whichever nodes so far.
    pub fn is(&self, record: &Record) -> bool {
        let own = self.record();
        Record {
            phase: own.phase,
            members: own.members.clone(),
            replaces: None,
            successor: None,
            generation: own.generation,
            owner: own.owner.clone(),
            only: own.only.clone(),
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
