//! Directories and files that only root can have made.

use std::ffi::CString;
use std::fs::{self, File, Metadata};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::open_error::{Distrust, OpenError};
use crate::sys;

/// The magic number of a bpf file system (`linux/magic.h`).
const BPF_FS_MAGIC: u32 = 0xcafe_4a11;

/// A directory of a bpf file system that nobody but root can have made or can change.
///
/// It is open, and everything in it is opened from there, no symbolic link followed. So nobody can
/// exchange what has been looked at before it is used. In the root of the file system others may
/// make entries of their own, if the sticky bit keeps them from touching those of root.
#[derive(Debug)]
pub struct Directory {
    /// By `O_PATH`: passing needs no right to list the entries.
    file: File,
    path: PathBuf,
}

/// What something is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Root,
    Directory,
    File,
}

impl Directory {
    /// The root of the bpf file system that is mounted at `path`.
    ///
    /// # Errors
    ///
    /// [`OpenError`]
    pub fn open(path: &Path) -> Result<Directory, OpenError> {
        Directory::check(open_path(path), path.into(), Kind::Root)
    }

    /// A directory in this one.
    ///
    /// # Errors
    ///
    /// [`OpenError`]
    pub fn directory(&self, name: &str) -> Result<Directory, OpenError> {
        let opened = self.open_entry(name, libc::O_PATH);
        Directory::check(opened, self.path.join(name), Kind::Directory)
    }

    /// What the kernel part has pinned here under this name, opened for reading.
    ///
    /// # Errors
    ///
    /// [`OpenError`]
    pub fn file(&self, name: &str) -> Result<File, OpenError> {
        let path = self.path.join(name);
        // A device or a FIFO is not even opened.
        check(self.open_entry(name, libc::O_PATH), &path, Kind::File)?;
        let opened = self.open_entry(name, libc::O_RDONLY | libc::O_NONBLOCK);
        check(opened, &path, Kind::File)
    }

    /// Checks what is pinned here under this name, without opening it.
    ///
    /// # Errors
    ///
    /// [`OpenError`]
    pub fn check_file(&self, name: &str) -> Result<(), OpenError> {
        let opened = self.open_entry(name, libc::O_PATH);
        check(opened, &self.path.join(name), Kind::File).map(drop)
    }

    fn open_entry(&self, name: &str, flags: i32) -> io::Result<File> {
        let name = CString::new(name)?;
        sys::open_at(Some(self.file.as_fd()), &name, flags | libc::O_NOFOLLOW)
    }

    fn check(opened: io::Result<File>, path: PathBuf, kind: Kind) -> Result<Directory, OpenError> {
        check(opened, &path, kind).map(|file| Directory { file, path })
    }
}

impl AsFd for Directory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// Whether a path is in a bpf file system. It takes no right to read there.
///
/// # Errors
///
/// Those of open(2) and fstatfs(2).
pub fn is_mounted(path: &Path) -> io::Result<bool> {
    is_in_bpffs(&open_path(path)?)
}

/// The caller is responsible for what leads to the path, such as symbolic links.
fn open_path(path: &Path) -> io::Result<File> {
    let name = CString::new(path.as_os_str().as_bytes())?;
    sys::open_at(None, &name, libc::O_PATH)
}

fn is_in_bpffs(file: &File) -> io::Result<bool> {
    Ok(sys::file_system_magic(file.as_fd())? == BPF_FS_MAGIC)
}

fn check(opened: io::Result<File>, path: &Path, kind: Kind) -> Result<File, OpenError> {
    let failed = |error| OpenError::System(path.into(), error);
    let file = opened.map_err(failed)?;
    if !is_in_bpffs(&file).map_err(failed)? {
        return Err(OpenError::NotBpf(path.into()));
    }
    let metadata = file.metadata().map_err(failed)?;
    match distrust(&metadata, kind, is_root) {
        None => Ok(file),
        Some(distrust) => Err(OpenError::Untrusted(path.into(), distrust)),
    }
}

fn distrust(
    metadata: &Metadata,
    kind: Kind,
    is_root: impl FnOnce(u32) -> bool,
) -> Option<Distrust> {
    const BY_OTHERS: u32 = 0o022;
    const STICKY: u32 = 0o1000;
    let (uid, mode) = (metadata.uid(), metadata.mode() & 0o7777);
    if !is_root(uid) {
        return Some(Distrust::Owner(uid));
    }
    let is_right = match kind {
        Kind::Root | Kind::Directory => metadata.is_dir(),
        Kind::File => metadata.is_file(),
    };
    if !is_right {
        return Some(Distrust::Kind);
    }
    let sticky_root = kind == Kind::Root && mode & STICKY != 0;
    (mode & BY_OTHERS != 0 && !sticky_root).then_some(Distrust::Mode(mode))
}

/// Whether an owner is root, also seen from a user namespace to which the machine's root is unknown.
///
/// Owners that a namespace does not know all look alike there, and its own root may be anybody
/// outside. Neither lets a forged list pass: the regular files of a bpf file system are pinned
/// objects, and it takes `CAP_BPF` over the initial namespace to make one that reads as the list.
fn is_root(uid: u32) -> bool {
    uid == 0 || fs::read("/proc/self/uid_map").is_ok_and(|map| !is_mapped(&map, uid))
}

/// Whether a user id stands for a user, by a map as in user_namespaces(7).
fn is_mapped(map: &[u8], uid: u32) -> bool {
    let text = String::from_utf8_lossy(map);
    let mut lines = text.lines().map(|line| {
        let mut numbers = line.split_ascii_whitespace().map(str::parse::<u64>);
        let (start, _, count) = (numbers.next()?, numbers.next()?, numbers.next()?);
        start.ok().zip(count.ok())
    });
    lines.any(|line| match line {
        Some((start, count)) => (start..start.saturating_add(count)).contains(&uid.into()),
        // What is not understood makes nobody root.
        None => true,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_directory_is_no_bpf_file_system() {
        for path in ["/", "/tmp", "/proc/self/fd"] {
            let error = Directory::open(Path::new(path)).expect_err("no bpf file system");
            assert!(matches!(error, OpenError::NotBpf(_)), "{error}");
        }
        let error = Directory::open(Path::new("/nonexistent")).expect_err("nothing");
        assert!(error.is_not_found(), "{error}");
    }

    #[test]
    fn owners_kinds_and_modes() -> io::Result<()> {
        let root = |uid| uid == 0;
        let anybody = |_| true;
        let directory = fs::metadata("/proc/self")?;
        let shared = fs::metadata("/tmp")?;
        let device = fs::metadata("/dev/zero")?;
        let file = fs::metadata("/proc/self/status")?;
        let nobody = |_| false;
        assert_eq!(
            distrust(&directory, Kind::Directory, nobody),
            Some(Distrust::Owner(directory.uid()))
        );
        assert_eq!(distrust(&directory, Kind::Directory, anybody), None);
        assert_eq!(distrust(&shared, Kind::Root, root), None);
        assert_eq!(
            distrust(&shared, Kind::Directory, root),
            Some(Distrust::Mode(0o1777))
        );
        assert_eq!(distrust(&device, Kind::File, anybody), Some(Distrust::Kind));
        assert_eq!(distrust(&file, Kind::Root, anybody), Some(Distrust::Kind));
        assert_eq!(distrust(&file, Kind::File, anybody), None);
        Ok(())
    }

    #[test]
    fn maps_of_user_namespaces() {
        let initial = b"         0          0 4294967295\n";
        assert!(is_mapped(initial, 0) && is_mapped(initial, 65534));
        let container = b"0 1000 1\n1 100000 65535\n";
        assert!(is_mapped(container, 1) && is_mapped(container, 65535));
        assert!(!is_mapped(container, 65536));
        assert!(!is_mapped(b"0 1000 1\n", 65534));
        assert!(!is_mapped(b"", 65534), "no map yet");
        assert!(is_mapped(b"what\n", 65534));
    }
}
