//! Where an installation of Portkeep is.

use std::path::PathBuf;

use crate::error::{Error, ErrorKind};
use crate::install::layout::{first_mount, require_cgroup2};
use crate::store::{DEFAULT_DIRECTORY, Keeper};

/// Where the machine's store keeps what is gone with the boot.
const RUN_DIRECTORY: &str = "/run/portkeep";

/// Where one installation is: the kernel part and the store. What is left out is the machine's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Installation {
    /// The cgroup whose sockets are enforced on; default: the root of the first cgroup2 mount.
    pub cgroup: Option<PathBuf>,
    /// The mount point of the BPF file system; default: the first mount, else `/sys/fs/bpf`.
    pub bpffs: Option<PathBuf>,
    /// The directory of the store; default: [`DEFAULT_DIRECTORY`].
    pub state_dir: Option<PathBuf>,
}

impl Installation {
    pub(crate) fn find_cgroup(&self) -> Result<PathBuf, Error> {
        let cgroup = match &self.cgroup {
            Some(cgroup) => cgroup.clone(),
            None => first_mount("cgroup2")?.ok_or_else(|| {
                Error::new(
                    ErrorKind::MissingFeature,
                    "no cgroup2 file system is mounted",
                )
                .with_hint("mount -t cgroup2 none /sys/fs/cgroup (since Linux 4.5)")
            })?,
        };
        require_cgroup2(&cgroup)?;
        Ok(cgroup)
    }

    /// What keeps the persistent reservations of this installation.
    pub fn keeper(&self) -> Keeper {
        Keeper::new(self.clone())
    }

    /// What is gone with the boot: of another store than the machine's, beside it.
    pub fn run_directory(&self) -> PathBuf {
        match &self.state_dir {
            Some(state) => state.join("run"),
            None => RUN_DIRECTORY.into(),
        }
    }

    /// The directory of the store.
    pub fn state_directory(&self) -> PathBuf {
        let directory = self.state_dir.clone();
        directory.unwrap_or_else(|| DEFAULT_DIRECTORY.into())
    }
}
