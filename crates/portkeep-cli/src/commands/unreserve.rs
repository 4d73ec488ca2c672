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
/// The rest of the block stays reserved. Bound sockets stay bound. Needs root.
#[derive(Debug, Args)]
pub struct Unreserve {
    /// The ports, such as 10000-20000/udp
    #[arg(value_name = "A-B/tcp|udp|both", required = true)]
    ports: Vec<PersistentBlock>,
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
        let outcome = installation
            .keeper()
            .remove(Kind::Reservation, &ranges, scope)?;
        if outcome.changed {
            let ports = list(&outcome.ports);
            report(&outcome, &format!("{ports} no longer reserved"), self.json)
        } else {
            let ports = list(&ranges);
            report(&outcome, &format!("{ports} not reserved"), self.json)
        }
    }
}
