//! The option `--netns`.

use clap::Args;
use portkeep_admin::{Error, Scope, namespace};

/// The network namespace that a command acts in.
#[derive(Debug, Args)]
pub struct NetnsArgument {
    /// Act in another network namespace: an ip-netns(8) name, a path, or the ID of a process in it
    #[arg(long, value_name = "PATH|NAME|PID")]
    netns: Option<String>,
}

impl NetnsArgument {
    /// Moves the process there, before it opens a socket or starts a thread. Returns the scope to store
    /// reservations with; `None` if the option was not given.
    pub fn enter(&self) -> Result<Option<Scope>, Error> {
        self.netns.as_deref().map(namespace::enter).transpose()
    }
}
