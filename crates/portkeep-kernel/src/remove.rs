//! Removing the kernel part.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::error::Error;
use crate::layout::{Layout, Location};
use crate::lock::InstallLock;
use crate::settings::Settings;
use crate::{links, sys};

/// Removes every program, map, pin and mount that [`install`](crate::install) made; with them all
/// reservations end. Sockets that are bound stay bound. `false`: nothing was installed.
///
/// This also removes what another version, or an interrupted installation, left behind.
///
/// # Errors
///
/// Without privilege, or if the BPF file system cannot be changed.
pub fn remove(location: &Location) -> Result<bool, Error> {
    let bpffs = location.find_bpffs()?;
    let layout = bpffs.layout();
    if !bpffs.mounted {
        return Ok(false);
    }
    let lock = InstallLock::take(&bpffs.path)?;
    match fs::read_dir(layout.root()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        result => result.map_err(|error| Error::path("reading", layout.root(), error))?,
    };
    // Of another version's settings nothing can be said: its mount stays.
    let settings = Settings::read(&layout.map("settings")).ok();
    remove_pins(&layout)?;
    drop(lock);
    if let Some(settings) = settings {
        give_back(&bpffs.path, &settings)?;
    }
    Ok(true)
}

/// The BPF file system as it was found.
fn give_back(bpffs: &Path, settings: &Settings) -> Result<(), Error> {
    if settings.opened_bpffs {
        let failed = |error| Error::path("restoring the mode of", bpffs, error);
        let mode = fs::metadata(bpffs).map_err(failed)?.permissions().mode();
        fs::set_permissions(bpffs, fs::Permissions::from_mode(mode & 0o7766)).map_err(failed)?;
    }
    if settings.mounted_bpffs && is_empty(bpffs) {
        sys::unmount(bpffs).map_err(|error| Error::path("unmounting", bpffs, error))?;
    }
    Ok(())
}

/// What the kernel itself puts into every BPF file system (`CONFIG_BPF_PRELOAD`).
const PRELOADED: [&str; 2] = ["maps.debug", "progs.debug"];

/// Others may have pinned things in the mount since; then it is theirs, too.
fn is_empty(directory: &Path) -> bool {
    fs::read_dir(directory).is_ok_and(|entries| {
        entries
            .flatten()
            .all(|entry| PRELOADED.iter().any(|name| entry.file_name() == *name))
    })
}

/// Detaches before it takes the maps away. The control calls go first: nothing is acquired any
/// more while the rest goes.
pub(crate) fn remove_pins(layout: &Layout) -> Result<(), Error> {
    let links = layout.links();
    if let Ok(entries) = fs::read_dir(&links) {
        let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
        paths.sort_by_key(|path| !path.to_string_lossy().contains("sockopt-"));
        for path in paths {
            links::take_away(&path)?;
        }
    }
    match fs::remove_dir_all(layout.root()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result.map_err(|error| Error::path("removing", layout.root(), error)),
    }
}
