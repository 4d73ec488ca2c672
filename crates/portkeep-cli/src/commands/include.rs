//! `portkeep include`: end an exclusion or part of one.

use std::process::ExitCode;

use clap::Args;
use portkeep_admin::{Installation, Kind};

use crate::arguments::netns::NetnsArgument;
use crate::arguments::persistent::{PersistentBlock, ranges};
use crate::control_cgroup::InControlCgroup;
use crate::error::Result;
use crate::outcome::report;
use crate::words::list;

/// End an exclusion or part of one, so that the ports can be chosen automatically again
///
/// The rest of the block stays excluded. Needs root.
#[derive(Debug, Args)]
pub struct Include {
    /// The ports, such as 8080/tcp
    #[arg(value_name = "A-B/tcp|udp|both", required = true)]
    ports: Vec<PersistentBlock>,
    /// Also end a fleet's exclusion, on this machine alone; its agent reports that as drift
    #[arg(long)]
    force: bool,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    netns: NetnsArgument,
}

impl Include {
    pub fn execute(&self, installation: &Installation) -> Result<ExitCode> {
        let ranges = ranges(&self.ports)?;
        let scope = self.netns.enter()?;
        let _control = InControlCgroup::enter(installation);
        let keeper = installation.keeper();
        let outcome = match self.force {
            true => keeper.remove_by_force(Kind::Exclusion, &ranges, scope)?,
            false => keeper.remove(Kind::Exclusion, &ranges, scope)?,
        };
        if outcome.changed {
            let ports = list(&outcome.ports);
            report(&outcome, &format!("{ports} no longer excluded"), self.json)
        } else {
            let ports = list(&ranges);
            report(&outcome, &format!("{ports} not excluded"), self.json)
        }
    }
}
