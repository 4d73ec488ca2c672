//! Cgroups, and their ids.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::install::layout::require_cgroup2;

/// An open cgroup2 directory.
#[derive(Debug)]
pub struct Cgroup {
    pub directory: File,
    /// The cgroup's id: the number of its directory's inode (`cgroups(7)`, `bpf_link_info`).
    pub id: u64,
}

impl Cgroup {
    pub fn open(path: &Path) -> Result<Cgroup, Error> {
        require_cgroup2(path)?;
        let directory = File::open(path).map_err(|error| Error::path("opening", path, error))?;
        let id = directory
            .metadata()
            .map_err(|error| Error::path("looking at", path, error))?
            .ino();
        Ok(Cgroup { directory, id })
    }
}

/// The directory of the cgroup with this id at or below `top`, if it is still there.
pub fn find(top: &Path, id: u64) -> Option<PathBuf> {
    if fs::metadata(top).ok()?.ino() == id {
        return Some(top.into());
    }
    children(top).into_iter().find_map(|child| find(&child, id))
}

/// The cgroups directly below one; none if it has been removed.
pub fn children(cgroup: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(cgroup).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect()
}
