//! Ports that are no longer reserved or excluded.

use std::process::ExitCode;

use clap::Args;
use portkeep_admin::{Installation, Kind};

use crate::arguments::netns::NetnsArgument;
use crate::arguments::persistent::{PersistentBlock, ranges};
use crate::control_cgroup::InControlCgroup;
use crate::error::Result;
use crate::outcome::report;
use crate::words::list;

/// The arguments of `unreserve` and `include`.
#[derive(Debug, Args)]
pub struct Removal {
    /// The ports, such as 8080/tcp or 10000-20000/udp
    #[arg(value_name = "A-B/tcp|udp|both", required = true)]
    ports: Vec<PersistentBlock>,
    /// Also end what a fleet made, on this machine alone; its agent reports that as drift
    #[arg(long)]
    force: bool,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    netns: NetnsArgument,
}

impl Removal {
    /// Removes them from the entries of a kind, which are `done`.
    pub fn execute(&self, installation: &Installation, kind: Kind, done: &str) -> Result<ExitCode> {
        let ranges = ranges(&self.ports)?;
        let scope = self.netns.enter()?;
        let _control = InControlCgroup::enter(installation);
        let keeper = installation.keeper();
        let outcome = match self.force {
            true => keeper.remove_by_force(kind, &ranges, scope)?,
            false => keeper.remove(kind, &ranges, scope)?,
        };
        let message = match outcome.changed {
            true => format!("{} no longer {done}", list(&outcome.ports)),
            false => format!("{} not {done}", list(&ranges)),
        };
        report(&outcome, &message, self.json)
    }
}
