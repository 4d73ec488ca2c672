//! `portkeep fleet reserve`

use std::process::ExitCode;

use clap::Args;
use portkeep_fleet_core::data::Mode;

use crate::error::Result;
use crate::operator::policy::{Consumers, Policy};

/// Reserve ports on all nodes that have some labels, or on none
///
/// Done means that the kernel of every one of these nodes refuses everybody but the named users, groups and
/// cgroups. If one node cannot, no node keeps it, and the table says what is in the way where. A node that
/// gets the labels later, or joins later, holds the ports as soon as it can.
#[derive(Debug, Args)]
pub struct Reserve {
    #[command(flatten)]
    policy: Policy,
    #[command(flatten)]
    consumers: Consumers,
}

impl Reserve {
    pub(crate) async fn execute(&self) -> Result<ExitCode> {
        let consumers = self.consumers.words();
        self.policy.make(Mode::Reserve, consumers).await
    }
}
