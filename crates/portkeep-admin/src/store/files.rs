use std::fmt;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

/// The operations of the store on files. A crash or a power cut can happen between any two of them, and
/// tests simulate that. Otherwise they are those of [`RealFiles`].
pub trait Files: fmt::Debug + Send + Sync {
    /// Makes an empty file, or empties the one that a crash has left.
    fn create(&self, path: &Path) -> io::Result<File>;
    /// Writes all of the bytes.
    fn write(&self, file: &mut File, bytes: &[u8]) -> io::Result<()>;
    /// fsync(2) of a file.
    fn sync(&self, file: &File) -> io::Result<()>;
    /// rename(2) over what is there.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// fsync(2) of a directory: makes its entries last.
    fn sync_directory(&self, directory: &Path) -> io::Result<()>;
    /// One pwrite(2) to a setting of the kernel; gives how much of it was taken.
    fn write_setting(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<usize>;
}

/// The files of the machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealFiles;

impl Files for RealFiles {
    fn create(&self, path: &Path) -> io::Result<File> {
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW)
            .open(path)?;
        // Whatever the umask of the administrator: comments are for everybody.
        file.set_permissions(Permissions::from_mode(0o644))?;
        Ok(file)
    }

    fn write(&self, file: &mut File, bytes: &[u8]) -> io::Result<()> {
        file.write_all(bytes)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        file.sync_all()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn sync_directory(&self, directory: &Path) -> io::Result<()> {
        File::open(directory)?.sync_all()
    }

    fn write_setting(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<usize> {
        file.write_at(bytes, offset)
    }
}
