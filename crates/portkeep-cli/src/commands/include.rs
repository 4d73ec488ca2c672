//! `portkeep include`: end an exclusion, or a part of it.

use std::process::ExitCode;

use clap::Args;
use portkeep_admin::{Installation, Kind};

use crate::arguments::netns::NetnsArgument;
use crate::arguments::persistent::PersistentBlock;
use crate::control_cgroup::InControlCgroup;
use crate::error::Result;
use crate::output::report;
use crate::words::list;

/// End an exclusion, or a part of one: the ports can be chosen automatically again
///
/// The rest of the block stays excluded. Needs root.
#[derive(Debug, Args)]
pub struct Include {
    /// The ports, such as 8080/tcp
    #[arg(value_name = "A-B/tcp|udp|both")]
    ports: PersistentBlock,
    #[command(flatten)]
    netns: NetnsArgument,
}

impl Include {
    pub fn execute(&self, installation: &Installation) -> Result<ExitCode> {
        let scope = self.netns.enter()?;
        let _control = InControlCgroup::enter(installation);
        let outcome = installation
            .keeper()
            .remove(Kind::Exclusion, &self.ports.ranges, scope)?;
        if outcome.changed {
            let ports = list(&outcome.ports);
            Ok(report(&outcome, &format!("{ports} not excluded any more"))?)
        } else {
            let ports = list(&self.ports.ranges);
            Ok(report(&outcome, &format!("{ports} not excluded"))?)
        }
    }
}
