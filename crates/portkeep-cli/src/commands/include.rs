//! `portkeep include`: end an exclusion, or a part of it.

use std::process::ExitCode;

use clap::Args;
use portkeep_admin::Kind;

use crate::cli::Locations;
use crate::control_cgroup::InControlCgroup;
use crate::netns_argument::NetnsArgument;
use crate::persistent_block::PersistentBlock;
use crate::persistent_words::{list, report};

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
    pub fn execute(&self, locations: &Locations) -> anyhow::Result<ExitCode> {
        let scope = self.netns.enter()?;
        let _control = InControlCgroup::enter(locations);
        let outcome =
            locations
                .installation()
                .keeper()
                .remove(Kind::Exclusion, &self.ports.ranges, scope)?;
        if outcome.changed {
            let ports = list(&outcome.ports);
            report(&outcome, &format!("{ports} not excluded any more"))
        } else {
            let ports = list(&self.ports.ranges);
            report(&outcome, &format!("{ports} not excluded"))
        }
    }
}
