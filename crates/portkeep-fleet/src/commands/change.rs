//! `portkeep fleet change`

use std::process::ExitCode;
use std::time::Instant;

use clap::Args;
use portkeep_fleet_core::data::{Mode, Name};

use crate::connect::engine;
use crate::error::{Error, Result};
use crate::operator::fleet::the_policy;
use crate::operator::policy::{Consumers, Wish, ports};
use crate::operator::reserve::{Terms, cleared, reserve};
use crate::operator::rollout::already;
use crate::operator::said::say;

/// Change the ports of a policy, and who may bind there, on all of its nodes or on none
///
/// The new ports are taken on all nodes first. One decision then makes them count, and the old ones that are not
/// among them are released. What the policy has before and after is closed at every instant. If one node cannot,
/// the policy stays as it is. Without consumers, those of before stay.
#[derive(Debug, Args)]
pub struct Change {
    /// The policy, by name or ID
    #[arg(value_name = "POLICY")]
    name: Name,
    /// All ports that it is to have, as 10000-25000/udp
    #[arg(value_name = "A-B/tcp|udp|both", required = true)]
    ports: Vec<String>,
    #[command(flatten)]
    consumers: Consumers,
    /// Leave nodes whose agent is not connected for later: they change when they are back
    #[arg(long)]
    skip_down: bool,
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

impl Change {
    pub(crate) async fn execute(&self) -> Result<ExitCode> {
        let ports = ports(&self.ports)?;
        let terms = Terms::new(self.skip_down, self.wait, self.dry_run);
        let engine = engine().await?;
        let start = Instant::now();
        let fleet = cleared(&engine, terms).await?;
        let (id, old) = the_policy(&fleet, &self.name)?;
        let given = self.consumers.words();
        if !given.is_empty() && old.mode == Mode::Exclude {
            return Err(Error::usage("an exclusion has no consumers"));
        }
        let mut wish = Wish::of(&self.name, old);
        wish.ports = ports;
        if !given.is_empty() {
            wish.consumers = given;
        }
        let reserved = match wish.is(old) {
            true => already(&fleet, &wish, id.clone(), old),
            false => reserve(&engine, &fleet, &wish, terms, Some((id, old))).await?,
        };
        say(&reserved, &wish, start.elapsed(), self.json)
    }
}
