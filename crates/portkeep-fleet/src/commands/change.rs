//! `portkeep fleet change`

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;
use portkeep_fleet_core::data::{Mode, Name, Phase};

use crate::connect::engine;
use crate::error::{Error, Result};
use crate::operator::fleet::Fleet;
use crate::operator::policy::{Consumers, Wish, ports};
use crate::operator::reserve::{Terms, reserve};
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
        let engine = engine().await?;
        let fleet = Fleet::read(&engine).await?;
        let named = fleet.policies_named(&self.name);
        let mut committed = named
            .into_iter()
            .filter(|(_, record)| record.phase == Phase::Committed);
        let (Some((id, old)), None) = (committed.next(), committed.next()) else {
            return Err(Error::refused(format!("there is no one policy {}", self.name))
                .with_hint("`portkeep fleet status` shows them, and `--json` their IDs"));
        };
        let given = self.consumers.words();
        let wish = Wish {
            name: old.name.clone().unwrap_or_else(|| self.name.clone()),
            ports,
            selector: old.selector.clone(),
            except: old.except.clone(),
            consumers: match (given.is_empty(), old.mode) {
                (false, Mode::Exclude) => {
                    return Err(Error::usage("an exclusion has no consumers"));
                }
                (true, _) => old.consumers.clone(),
                (false, Mode::Reserve) => given,
            },
            mode: old.mode,
            comment: old.comment.clone(),
        };
        let terms = Terms {
            skip_down: self.skip_down,
            wait: Duration::from_secs(self.wait.into()),
            dry_run: false,
        };
        let start = Instant::now();
        let reserved = reserve(&engine, &wish, terms, Some((id, old))).await?;
        say(&reserved, &wish, start.elapsed(), self.json)
    }
}
