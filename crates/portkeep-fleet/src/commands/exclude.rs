//! `portkeep fleet exclude`

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;
use portkeep_fleet_core::data::{Mode, Name};

use crate::connect::engine;
use crate::error::Result;
use crate::operator::policy::{Nodes, Wish, ports};
use crate::operator::reserve::{Terms, reserve};
use crate::operator::said::say;

/// Keep ports out of automatic choice on all nodes that have some labels, or on none
///
/// Nobody gets one of the ports by chance, and everybody may bind explicitly. It is in nobody's way.
#[derive(Debug, Args)]
pub struct Exclude {
    /// What to call it
    #[arg(value_name = "POLICY")]
    name: Name,
    /// The ports, as 30000-32767/tcp
    #[arg(value_name = "A-B/tcp|udp|both", required = true)]
    ports: Vec<String>,
    #[command(flatten)]
    nodes: Nodes,
    /// A note that everybody sees with the exclusion
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

impl Exclude {
    pub(crate) async fn execute(&self) -> Result<ExitCode> {
        let wish = Wish {
            name: self.name.clone(),
            ports: ports(&self.ports)?,
            selector: self.nodes.selector()?,
            except: self.nodes.except(),
            consumers: Vec::new(),
            mode: Mode::Exclude,
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
