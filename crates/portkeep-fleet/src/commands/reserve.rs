//! `portkeep fleet reserve`

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;
use portkeep_fleet_core::data::{Mode, Name};

use crate::connect::engine;
use crate::error::Result;
use crate::operator::policy::{Consumers, Nodes, Wish, ports};
use crate::operator::reserve::{Terms, reserve};
use crate::operator::said::say;

/// Reserve ports on all nodes that have some labels, or on none
///
/// Done means that the kernel of every one of these nodes refuses everybody but the named users, groups and
/// cgroups. If one node cannot, no node keeps it, and the table says what is in the way where. A node that
/// gets the labels later, or joins later, holds the ports as soon as it can.
#[derive(Debug, Args)]
pub struct Reserve {
    /// What to call it
    #[arg(value_name = "POLICY")]
    name: Name,
    /// The ports, as 10000-20000/udp
    #[arg(value_name = "A-B/tcp|udp|both", required = true)]
    ports: Vec<String>,
    #[command(flatten)]
    nodes: Nodes,
    #[command(flatten)]
    consumers: Consumers,
    /// A note that everybody sees with the reservation
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

impl Reserve {
    pub(crate) async fn execute(&self) -> Result<ExitCode> {
        let wish = Wish {
            name: self.name.clone(),
            ports: ports(&self.ports)?,
            selector: self.nodes.selector()?,
            except: self.nodes.except(),
            consumers: self.consumers.words(),
            mode: Mode::Reserve,
            comment: self.comment.clone(),
        };
        let terms = Terms {
            skip_down: self.nodes.skip_down,
            wait: Duration::from_secs(self.wait.into()),
            dry_run: self.dry_run,
        };
        let engine = engine().await?;
        let start = Instant::now();
        let reserved = reserve(&engine, &wish, terms, None).await?;
        say(&reserved, &wish, start.elapsed(), self.json)
    }
}
