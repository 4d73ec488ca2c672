//! Removing the kernel part.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::install::bpffs::Bpffs;
use crate::install::features;
use crate::install::layout::Layout;
use crate::install::links;
use crate::install::lock::InstallLock;
use crate::install::object;
use crate::install::proof;
use crate::install::settings::Settings;
use crate::installation::Installation;

/// Removes every program, map, pin and mount that [`install`](crate::install) made; with them all
/// reservations end. Sockets that are bound stay bound. `false`: nothing was installed.
///
/// This also removes what another version, or an interrupted installation, left behind.
///
/// # Errors
///
/// Without privilege, if the BPF file system cannot be changed, or if others than root have made
/// what is there, or can change it; that is left alone.
pub fn remove(installation: &Installation) -> Result<bool, Error> {
    object::keep_log();
    let bpffs = Bpffs::find(installation)?;
    if !bpffs.mounted {
        return Ok(false);
    }
    loop {
        if bpffs.installation()?.is_none() {
            return bpffs.unmount_if_ours();
        }
        features::require_privilege()?;
        let Some(_lock) = InstallLock::take(&bpffs)? else {
            continue;
        };
        remove_everything(&bpffs)?;
        if let Ok(cgroup) = installation.find_cgroup() {
            proof::sweep(&cgroup);
        }
        return Ok(true);
    }
}

/// With the lock held: the BPF file system as it was found.
pub(crate) fn remove_everything(bpffs: &Bpffs) -> Result<(), Error> {
    clear(bpffs)?;
    let layout = bpffs.layout();
    for directory in [layout.links(), layout.maps(), layout.root().to_owned()] {
        remove_if_there(&directory, |path| fs::remove_dir(path))?;
    }
    bpffs.unmount_if_ours().map(drop)
}

/// Undoes everything but the directories, with which the lock would go.
pub(crate) fn clear(bpffs: &Bpffs) -> Result<(), Error> {
    let layout = bpffs.layout();
    clear_links(&layout)?;
    // The mode before the note of it. Of another version's settings nothing can be said.
    match Settings::read(&layout.map("settings")) {
        Ok(settings) if settings.added_mode != 0 => bpffs.remove_mode(settings.added_mode)?,
        _ => {}
    }
    for map in files_in(&layout.maps())? {
        remove_if_there(&map, |path| fs::remove_file(path))?;
    }
    remove_if_there(&layout.reservations(), |path| fs::remove_file(path))
}

/// The control calls go first: nothing is acquired any more while the rest goes.
fn clear_links(layout: &Layout) -> Result<(), Error> {
    let mut links = files_in(&layout.links())?;
    links.sort_by_key(|link| !link.to_string_lossy().contains("sockopt-"));
    links.iter().try_for_each(|link| links::take_away(link))
}

fn files_in(directory: &Path) -> Result<Vec<PathBuf>, Error> {
    match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        entries => Ok(entries
            .map_err(|error| Error::path("reading", directory, error))?
            .flatten()
            .map(|entry| entry.path())
            .collect()),
    }
}

fn remove_if_there(path: &Path, remove: impl FnOnce(&Path) -> io::Result<()>) -> Result<(), Error> {
    match remove(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result.map_err(|error| Error::path("removing", path, error)),
    }
}
