//! The BPF file system: finding it, mounting it, letting everybody pass, and taking all that back.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use portkeep_host::bpffs::{Directory, FOLDER, LIST, OpenError};
use portkeep_host::mounts;

use crate::error::{Error, ErrorKind};
use crate::install::layout::{LINKS, Layout, MAPS, first_mount};
use crate::install::sys;
use crate::installation::Installation;

/// Where it belongs by convention.
const DEFAULT: &str = "/sys/fs/bpf";

/// A place for a BPF file system.
#[derive(Debug)]
pub struct Bpffs {
    pub path: PathBuf,
    pub mounted: bool,
    /// By this process, just now.
    pub newly_mounted: bool,
}

impl Bpffs {
    /// At the installation, mounted or not.
    pub fn find(installation: &Installation) -> Result<Bpffs, Error> {
        let path = match &installation.bpffs {
            Some(path) => path.clone(),
            None => first_mount("bpf")?.unwrap_or_else(|| DEFAULT.into()),
        };
        let mounted = is_mounted(&path)?;
        Ok(Bpffs {
            path,
            mounted,
            newly_mounted: false,
        })
    }

    /// At the installation, mounted if it was not.
    pub fn find_or_mount(installation: &Installation) -> Result<Bpffs, Error> {
        let mut bpffs = Bpffs::find(installation)?;
        if !bpffs.mounted {
            let _turn = wait_for_turn(&bpffs.path);
            if !is_mounted(&bpffs.path)? {
                require_lasting_mounts(&bpffs.path, installation)?;
                sys::mount_bpffs(&bpffs.path).map_err(|error| {
                    Error::path("mounting a BPF file system at", &bpffs.path, error)
                })?;
                bpffs.newly_mounted = true;
            }
            bpffs.mounted = true;
        }
        Ok(bpffs)
    }

    /// The paths of an installation that is there or is to be.
    pub fn layout(&self) -> Layout {
        Layout::below(&self.path)
    }

    /// The paths of what is installed, of a part of it at least; `None` if nothing is.
    ///
    /// In a BPF file system that everybody may write to, somebody may have been there before root.
    /// Fails if anybody else has made one of the directories or the list, or can exchange it. Once
    /// this has been checked paths below them are as good as open files.
    pub fn installation(&self) -> Result<Option<Layout>, Error> {
        let folder = match self.open_root().and_then(|root| root.directory(FOLDER)) {
            Err(OpenError::NotBpf(_)) => return Ok(None),
            folder => match found(folder)? {
                Some(folder) => folder,
                None => return Ok(None),
            },
        };
        for name in [MAPS, LINKS] {
            found(folder.directory(name))?;
        }
        found(folder.check_file(LIST))?;
        Ok(Some(self.layout()))
    }

    /// The root of the file system.
    pub fn open_root(&self) -> Result<Directory, OpenError> {
        Directory::open(&self.path)
    }

    /// Whether Portkeep mounted it: the mount itself says so.
    pub fn is_ours(&self) -> bool {
        let (Ok(path), Ok(mounts)) = (fs::canonicalize(&self.path), mounts::read()) else {
            return false;
        };
        let topmost = mounts.iter().rfind(|mount| mount.target == path);
        topmost.is_some_and(|mount| mount.source.as_encoded_bytes() == sys::MOUNT_SOURCE.to_bytes())
    }

    /// Unmounts it, if Portkeep mounted it and nobody has pinned anything else in it.
    pub fn unmount_if_ours(&self) -> Result<bool, Error> {
        if !self.is_ours() || !is_empty(&self.path) {
            return Ok(false);
        }
        sys::unmount(&self.path)
            .map(|()| true)
            .map_err(|error| Error::path("unmounting", &self.path, error))
    }

    /// The mode bits that its root lacks for others to pass. The list is for everybody, but
    /// systemd mounts the BPF file system with mode 0700. What is pinned keeps its own modes.
    pub fn missing_mode(&self) -> Result<u32, Error> {
        Ok(0o011 & !self.mode()?)
    }

    pub fn add_mode(&self, bits: u32) -> Result<(), Error> {
        self.set_mode(self.mode()? | bits)
    }

    pub fn remove_mode(&self, bits: u32) -> Result<(), Error> {
        self.set_mode(self.mode()? & !bits)
    }

    fn mode(&self) -> Result<u32, Error> {
        let metadata = fs::metadata(&self.path)
            .map_err(|error| Error::path("looking at", &self.path, error))?;
        Ok(metadata.permissions().mode() & 0o7777)
    }

    fn set_mode(&self, mode: u32) -> Result<(), Error> {
        fs::set_permissions(&self.path, fs::Permissions::from_mode(mode))
            .map_err(|error| Error::path("setting the mode of", &self.path, error))
    }
}

fn found<T>(opened: Result<T, OpenError>) -> Result<Option<T>, Error> {
    match opened {
        Err(error) if error.is_not_found() => Ok(None),
        opened => Ok(Some(opened?)),
    }
}

/// A mount ends with its mount namespace, and everything pinned in it. That of a systemd unit ends
/// with `enable`, so this refuses outside the namespace of process 1, which in a container is the
/// container's. It does not if the caller named the place, or may not look at process 1.
fn require_lasting_mounts(path: &Path, installation: &Installation) -> Result<(), Error> {
    let namespace = |process| fs::metadata(format!("/proc/{process}/ns/mnt"));
    let (Ok(own), Ok(first)) = (namespace("self"), namespace("1")) else {
        return Ok(());
    };
    let same = (own.dev(), own.ino()) == (first.dev(), first.ino());
    if same || installation.bpffs.is_some() {
        return Ok(());
    }
    let path = path.display();
    Err(Error::new(
        ErrorKind::InvalidInput,
        format!(
            "no BPF file system is mounted at {path}, and one that is mounted now would end with \
             this mount namespace, which is not that of process 1; nothing is changed"
        ),
    )
    .with_hint(format!(
        "mount it first, outside of this unit or container: mount -t bpf bpf {path}"
    )))
}

fn is_mounted(path: &Path) -> Result<bool, Error> {
    portkeep_host::bpffs::is_mounted(path).map_err(|error| Error::path("looking at", path, error))
}

/// Two installers must not both mount. Anybody may lock a directory that he can read, though, so
/// this does not wait for ever: an installer gives its turn back in a moment.
fn wait_for_turn(directory: &Path) -> io::Result<File> {
    let directory = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_DIRECTORY)
        .open(directory)?;
    for _ in 0..100 {
        if sys::try_lock(&directory).is_ok() {
            break;
        }
        sleep(Duration::from_millis(20));
    }
    Ok(directory)
}

/// What the kernel itself puts into every BPF file system (`CONFIG_BPF_PRELOAD`).
const PRELOADED: [&str; 2] = ["maps.debug", "progs.debug"];

fn is_empty(directory: &Path) -> bool {
    fs::read_dir(directory).is_ok_and(|entries| {
        entries
            .flatten()
            .all(|entry| PRELOADED.iter().any(|name| entry.file_name() == *name))
    })
}
