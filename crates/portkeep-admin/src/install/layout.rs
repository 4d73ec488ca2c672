//! Where the kernel part is: which cgroup, and which paths in the BPF file system.

use std::path::{Path, PathBuf};

use portkeep_host::bpffs::{FOLDER, LIST};
use portkeep_host::mounts;

use crate::error::{Error, ErrorKind};
use crate::install::sys;

/// Fails unless `path` is a directory of a cgroup2 file system.
pub(crate) fn require_cgroup2(path: &Path) -> Result<(), Error> {
    let magic =
        sys::file_system_magic(path).map_err(|error| Error::path("looking at", path, error))?;
    if magic == sys::CGROUP2_SUPER_MAGIC {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::InvalidInput,
        format!("{} is not a cgroup2 directory", path.display()),
    )
    .with_hint("name a directory below the cgroup2 mount; /proc/self/mounts shows it"))
}

/// The directory of the maps.
pub(crate) const MAPS: &str = "maps";
/// The directory of the attachments.
pub(crate) const LINKS: &str = "links";

/// The paths of an installed kernel part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    root: PathBuf,
}

impl Layout {
    pub(crate) fn below(bpffs: &Path) -> Layout {
        Layout {
            root: bpffs.join(FOLDER),
        }
    }

    /// The directory that holds all the others.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The list of reservations, readable for everybody.
    pub fn reservations(&self) -> PathBuf {
        self.root.join(LIST)
    }

    pub(crate) fn maps(&self) -> PathBuf {
        self.root.join(MAPS)
    }

    pub(crate) fn map(&self, name: &str) -> PathBuf {
        self.maps().join(name)
    }

    pub(crate) fn links(&self) -> PathBuf {
        self.root.join(LINKS)
    }
}

/// Where a file system of this type is mounted, or none.
pub(crate) fn first_mount(kind: &str) -> Result<Option<PathBuf>, Error> {
    mounts::first(kind).map_err(|error| Error::system("reading /proc/self/mounts", error))
}
