//! The installation that a command acts on: from the options, else the environment, else the defaults.

use std::path::PathBuf;
use std::process::Command;

use clap::Args;
use portkeep::Entry;
use portkeep_admin::{DEFAULT_DECLARATIONS, DEFAULT_DIRECTORY, Installation};

/// The help of `--cgroup`, which most commands also accept after their name.
pub const CGROUP_HELP: &str =
    "Cgroup to which the kernel part is attached [default: the cgroup v2 root]";

const CGROUP: &str = "PORTKEEP_CGROUP";
const BPFFS: &str = "PORTKEEP_BPFFS";
const STATE_DIR: &str = "PORTKEEP_STATE_DIR";

/// Where the kernel part and the store are.
#[derive(Debug, Args)]
#[command(next_help_heading = "Locations")]
pub struct Locations {
    #[arg(long, value_name = "DIR", env = CGROUP, hide_env_values = true, help = CGROUP_HELP)]
    cgroup: Option<PathBuf>,
    /// BPF file system in which the kernel part is pinned [default: the first one mounted]
    #[arg(long, global = true, value_name = "DIR", env = BPFFS, hide_env_values = true)]
    bpffs: Option<PathBuf>,
    /// Directory of the store of persistent reservations [default: /var/lib/portkeep]
    #[arg(long, global = true, value_name = "DIR", env = STATE_DIR, hide_env_values = true)]
    state_dir: Option<PathBuf>,
}

impl Locations {
    /// `cgroup` is the option after the command's name, if it is there; it overrides the one before.
    pub fn installation(self, cgroup: Option<PathBuf>) -> Installation {
        Installation {
            cgroup: cgroup.or(self.cgroup),
            bpffs: self.bpffs,
            state_dir: self.state_dir,
        }
    }
}

/// The directory of declarations that `apply` reads unless told otherwise, and `enable`. An installation
/// with a store of its own has declarations of its own.
pub fn declarations(installation: &Installation) -> PathBuf {
    match &installation.state_dir {
        Some(directory) if directory.as_os_str() != DEFAULT_DIRECTORY => {
            directory.join("reservations.d")
        }
        _ => DEFAULT_DECLARATIONS.into(),
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
