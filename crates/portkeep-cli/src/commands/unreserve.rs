//! `portkeep unreserve`: end a persistent reservation or part of one.

use std::process::ExitCode;

use clap::Args;
use portkeep_admin::{Installation, Kind};

use crate::arguments::netns::NetnsArgument;
use crate::arguments::persistent::{PersistentBlock, ranges};
use crate::control_cgroup::InControlCgroup;
use crate::error::Result;
use crate::outcome::report;
use crate::words::list;

/// End a persistent reservation or part of one
///
/// The rest of the block stays reserved. Bound sockets stay bound. A fleet's reservation is ended on all
/// nodes by `portkeep fleet unreserve`. Needs root.
#[derive(Debug, Args)]
pub struct Unreserve {
    /// The ports, such as 10000-20000/udp
    #[arg(value_name = "A-B/tcp|udp|both", required = true)]
    ports: Vec<PersistentBlock>,
    /// Also end a fleet's reservation, on this machine alone; its agent reports that as drift
    #[arg(long)]
    force: bool,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    netns: NetnsArgument,
}

impl Unreserve {
    pub fn execute(&self, installation: &Installation) -> Result<ExitCode> {
        let ranges = ranges(&self.ports)?;
        let scope = self.netns.enter()?;
        let _control = InControlCgroup::enter(installation);
        let keeper = installation.keeper();
        let outcome = match self.force {
            true => keeper.remove_by_force(Kind::Reservation, &ranges, scope)?,
            false => keeper.remove(Kind::Reservation, &ranges, scope)?,
        };
        if outcome.changed {
            let ports = list(&outcome.ports);
            report(&outcome, &format!("{ports} no longer reserved"), self.json)
        } else {
            let ports = list(&ranges);
            report(&outcome, &format!("{ports} not reserved"), self.json)
        }
    }
}
