//! One installer at a time.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::Path;

use crate::error::{Error, ErrorKind};
use crate::layout::Layout;
use crate::sys;

/// Held while pins are made, changed or removed; given back on drop.
///
/// What is locked is the directory of the maps. Only root can open it, so nobody else can keep an
/// installer waiting.
#[derive(Debug)]
pub struct InstallLock(#[expect(dead_code, reason = "held, not read")] File);

impl InstallLock {
    /// Makes the directories where they are missing and waits for other installers. `None` if one
    /// of them has removed everything meanwhile: start again.
    pub fn take(layout: &Layout) -> Result<Option<InstallLock>, Error> {
        make_directory(layout.root(), 0o755)?;
        require_owner(layout.root())?;
        let maps = layout.maps();
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

/// In a BPF file system that everybody may write to, somebody may have been there first; whoever
/// owns the directory could exchange what is pinned below it.
fn require_owner(directory: &Path) -> Result<(), Error> {
    let metadata =
        fs::metadata(directory).map_err(|error| Error::path("looking at", directory, error))?;
    // SAFETY: no preconditions; it cannot fail.
    if metadata.uid() == unsafe { libc::geteuid() } {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::NotPermitted,
        format!("{} belongs to user {}", directory.display(), metadata.uid()),
    )
    .with_hint("run this as root; if you do, somebody else made that directory: remove it"))
}

pub fn make_directory(path: &Path, mode: u32) -> Result<(), Error> {
    match DirBuilder::new().mode(mode).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(Error::path("making", path, error)),
        // The umask may have taken bits away.
        Ok(()) => fs::set_permissions(path, fs::Permissions::from_mode(mode))
            .map_err(|error| Error::path("setting the mode of", path, error)),
    }
}
