//! The directory of a scene, which is there while one is, and whose lock says who has it.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{
    DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _,
};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use nix::fcntl::{Flock, FlockArg};

/// Only root can make it. One for the machine: two kernel parts would not know of each other's ports.
const PATH: &str = "/run/portkeep-try";

/// The directory, locked.
#[derive(Debug)]
pub struct Directory {
    _lock: Flock<File>,
}

impl Directory {
    /// Takes it, made if it was not there; fails if another scene has it.
    pub fn take() -> anyhow::Result<Self> {
        loop {
            make(Path::new(PATH)).context(format!("making {PATH}"))?;
            if let Some(taken) = Self::take_if_there()? {
                return Ok(taken);
            }
        }
    }

    /// Takes it; `None` if it is not there.
    pub fn take_if_there() -> anyhow::Result<Option<Self>> {
        loop {
            let mut options = OpenOptions::new();
            options
                .read(true)
                .custom_flags(libc::O_DIRECTORY | libc::O_NOFOLLOW);
            let directory = match options.open(PATH) {
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
                opened => opened.context(format!("opening {PATH}"))?,
            };
            let Ok(lock) = Flock::lock(directory, FlockArg::LockExclusiveNonblock) else {
                bail!("another ./try has it for itself");
            };
            let (locked, there) = (lock.metadata()?, fs::symlink_metadata(PATH));
            // The one before us may have removed it in between.
            if there.is_ok_and(|there| (there.dev(), there.ino()) == (locked.dev(), locked.ino())) {
                if locked.uid() != 0 {
                    bail!("{PATH} belongs to user {}", locked.uid());
                }
                return Ok(Some(Self { _lock: lock }));
            }
        }
    }

    /// Where the kernel part is pinned, in our mount namespace alone.
    pub fn bpffs(&self) -> PathBuf {
        Path::new(PATH).join("bpf")
    }

    /// Where persistent reservations are stored. Not in a mount of our own: what they put into
    /// `ip_local_reserved_ports` must be found and taken back if we are killed.
    pub fn state(&self) -> PathBuf {
        Path::new(PATH).join("state")
    }

    /// Makes both where they are not there.
    pub fn furnish(&self) -> io::Result<()> {
        make(&self.bpffs())?;
        make(&self.state())
    }

    /// Notes the cgroup, before it is made.
    pub fn set_cgroup(&self, cgroup: &Path) -> io::Result<()> {
        let note = note();
        remove_if_there(fs::remove_file(&note))?;
        std::os::unix::fs::symlink(cgroup, note)
    }

    /// The cgroup that was noted, by us or by a scene that was killed.
    pub fn cgroup(&self) -> Option<PathBuf> {
        fs::read_link(note()).ok()
    }

    /// Removes everything, and the directory itself. The lock is given back afterwards.
    pub fn remove(&self) -> io::Result<()> {
        remove_if_there(fs::remove_dir(self.bpffs()))?;
        remove_if_there(fs::remove_dir_all(self.state()))?;
        remove_if_there(fs::remove_file(note()))?;
        remove_if_there(fs::remove_dir(PATH))
    }
}

fn make(directory: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o755).create(directory) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        // The umask may have taken bits away.
        made => {
            made.and_then(|()| fs::set_permissions(directory, fs::Permissions::from_mode(0o755)))
        }
    }
}

fn note() -> PathBuf {
    Path::new(PATH).join("cgroup")
}

fn remove_if_there(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        result => result,
    }
}
