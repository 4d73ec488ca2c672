//! The option `--netns`.

use clap::Args;
use portkeep_admin::{Error, Scope, namespace};

/// In which network namespace a command acts.
#[derive(Debug, Args)]
pub struct NetnsArgument {
    /// Act in another network namespace: a name of ip-netns(8), a path, or the id of a process in it
    #[arg(long, value_name = "PATH|NAME|PID")]
    netns: Option<String>,
}

impl NetnsArgument {
    /// Moves the process there, before it makes a socket or a thread. Gives the scope to store
    /// reservations with; `None` if the option was not given.
    pub fn enter(&self) -> Result<Option<Scope>, Error> {
        self.netns.as_deref().map(namespace::enter).transpose()
    }
}
