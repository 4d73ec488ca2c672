//! One installer at a time.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::Path;

use portkeep_host::bpffs::FOLDER;

use crate::error::Error;
use crate::install::bpffs::Bpffs;
use crate::install::sys;

/// Held while pins are made, changed or removed; given back on drop.
///
/// What is locked is the directory of the maps. Only root can open it, so nobody else can keep an
/// installer waiting.
#[derive(Debug)]
pub struct InstallLock(#[expect(dead_code, reason = "held, not read")] File);

impl InstallLock {
    /// Makes the directories where they are missing and waits for other installers. `None` if one
    /// of them has removed everything meanwhile: start again.
    pub fn take(bpffs: &Bpffs) -> Result<Option<InstallLock>, Error> {
        make_folder(bpffs)?;
        let maps = bpffs.layout().maps();
        let directory = match make_directory(&maps, 0o700)
            .and_then(|()| File::open(&maps).map_err(|error| Error::path("opening", &maps, error)))
        {
            Err(error) if error.errno() == Some(libc::ENOENT) => return Ok(None),
            directory => directory?,
        };
        sys::lock(&directory).map_err(|error| Error::path("locking", &maps, error))?;
        Ok(is_at(&directory, &maps).then_some(InstallLock(directory)))
    }
}

/// Whether the open directory is still the one at the path.
fn is_at(directory: &File, path: &Path) -> bool {
    match (directory.metadata(), fs::metadata(path)) {
        (Ok(held), Ok(found)) => (held.dev(), held.ino()) == (found.dev(), found.ino()),
        _ => false,
    }
}

/// Makes the directory that holds all the others, or finds it. In a BPF file system that everybody may
/// write to somebody may have been there first, and what root made in there would be in his hands.
fn make_folder(bpffs: &Bpffs) -> Result<(), Error> {
    let path = bpffs.layout().root().to_owned();
    let root = bpffs.open_root()?;
    let made = match sys::make_directory_at(root.as_fd(), FOLDER, 0o755) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => false,
        made => made
            .map(|()| true)
            .map_err(|error| Error::path("making", &path, error))?,
    };
    match root.directory(FOLDER) {
        // Others take what belongs to another user than root for somebody's, too.
        Err(error) if made && !error.is_not_found() => {
            let _ = fs::remove_dir(&path);
            Err(error.into())
        }
        // Removed meanwhile: whoever looks for what is in it will see.
        Err(error) if error.is_not_found() => Ok(()),
        directory => directory.map(drop).map_err(Error::from),
    }?;
    match made {
        true => set_mode(&path, 0o755),
        false => Ok(()),
    }
}

pub fn make_directory(path: &Path, mode: u32) -> Result<(), Error> {
    match DirBuilder::new().mode(mode).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(Error::path("making", path, error)),
        Ok(()) => set_mode(path, mode),
    }
}

/// The umask may have taken bits away.
fn set_mode(path: &Path, mode: u32) -> Result<(), Error> {
    match fs::set_permissions(path, fs::Permissions::from_mode(mode)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        set => set.map_err(|error| Error::path("setting the mode of", path, error)),
    }
}
