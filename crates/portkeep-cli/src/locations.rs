//! Where the installation is that a command acts on: options, else the environment, else the machine's.

use std::path::PathBuf;
use std::process::Command;

use clap::Args;
use portkeep::Entry;
use portkeep_admin::Installation;

/// The help of `--cgroup`, which most commands take after their name, too.
pub const CGROUP_HELP: &str =
    "The cgroup that the kernel part is attached to [default: the cgroup v2 root]";

const CGROUP: &str = "PORTKEEP_CGROUP";
const BPFFS: &str = "PORTKEEP_BPFFS";
const STATE_DIR: &str = "PORTKEEP_STATE_DIR";

/// Where the kernel part and the store are.
#[derive(Debug, Args)]
#[command(next_help_heading = "Locations")]
pub struct Locations {
    #[arg(long, value_name = "DIR", env = CGROUP, hide_env_values = true, help = CGROUP_HELP)]
    cgroup: Option<PathBuf>,
    /// The BPF file system that the kernel part is pinned in [default: the first one mounted]
    #[arg(long, global = true, value_name = "DIR", env = BPFFS, hide_env_values = true)]
    bpffs: Option<PathBuf>,
    /// Where persistent reservations are stored [default: /var/lib/portkeep]
    #[arg(long, global = true, value_name = "DIR", env = STATE_DIR, hide_env_values = true)]
    state_dir: Option<PathBuf>,
}

impl Locations {
    /// `cgroup` is the one after the name of the command, if there is one; it goes before the other.
    pub fn installation(self, cgroup: Option<PathBuf>) -> Installation {
        Installation {
            cgroup: cgroup.or(self.cgroup),
            bpffs: self.bpffs,
            state_dir: self.state_dir,
        }
    }
}

/// The reservations that the kernel part of an installation keeps.
pub fn list(installation: &Installation) -> Result<Vec<Entry>, portkeep::Error> {
    match &installation.bpffs {
        Some(bpffs) => portkeep::list_at(bpffs),
        None => portkeep::list(),
    }
}

/// Lets a command that uses Portkeep find the same installation.
pub fn pass_on(installation: &Installation, command: &mut Command) {
    for (name, path) in [
        (CGROUP, &installation.cgroup),
        (BPFFS, &installation.bpffs),
        (STATE_DIR, &installation.state_dir),
    ] {
        if let Some(path) = path {
            command.env(name, path);
        }
    }
}
