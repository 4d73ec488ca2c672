//! `portkeep unreserve`: end a persistent reservation, or a part of it.

use std::process::ExitCode;

use clap::Args;
use portkeep_admin::Kind;

use crate::cli::Locations;
use crate::control_cgroup::InControlCgroup;
use crate::netns_argument::NetnsArgument;
use crate::persistent_block::PersistentBlock;
use crate::persistent_words::{list, report};

/// End a persistent reservation, or a part of one
///
/// The rest of the block stays reserved. Sockets that are bound stay bound. Needs root.
#[derive(Debug, Args)]
pub struct Unreserve {
    /// The ports, such as 10000-20000/udp
    #[arg(value_name = "A-B/tcp|udp|both")]
    ports: PersistentBlock,
    #[command(flatten)]
    netns: NetnsArgument,
}

impl Unreserve {
    pub fn execute(&self, locations: &Locations) -> anyhow::Result<ExitCode> {
        let scope = self.netns.enter()?;
        let _control = InControlCgroup::enter(locations);
        let outcome = locations.installation().keeper().remove(
            Kind::Reservation,
            &self.ports.ranges,
            scope,
        )?;
        if outcome.changed {
            let ports = list(&outcome.ports);
            report(&outcome, &format!("{ports} not reserved any more"))
        } else {
            let ports = list(&self.ports.ranges);
            report(&outcome, &format!("{ports} not reserved"))
        }
    }
}
