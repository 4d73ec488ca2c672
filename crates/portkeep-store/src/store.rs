//! The store's directory: its lock, and how the file in it is replaced.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};

use crate::document::Document;
use crate::error::{Error, ErrorKind};
use crate::files::Files;

/// Where the store is unless told otherwise.
pub const DEFAULT_DIRECTORY: &str = "/var/lib/portkeep";

/// A directory with a store in it.
#[derive(Debug)]
pub struct Store {
    directory: PathBuf,
    files: Box<dyn Files>,
}

/// Held while the store and what it describes are changed; given back on drop.
#[derive(Debug)]
pub struct Lock(#[expect(dead_code, reason = "held, not read")] Flock<File>);

impl Store {
    pub fn new(directory: PathBuf, files: Box<dyn Files>) -> Store {
        Store { directory, files }
    }

    pub fn files(&self) -> &dyn Files {
        self.files.as_ref()
    }

    /// The file that is the store.
    pub fn file(&self) -> PathBuf {
        self.directory.join("reservations.toml")
    }

    /// Waits until nobody else changes the store. Makes its directory where it is missing.
    ///
    /// Only root can open what is locked, so nobody else can keep an administrator waiting.
    pub fn lock(&self) -> Result<Lock, Error> {
        self.make_directory()?;
        let path = self.directory.join("lock");
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW)
            .open(&path)
            .map_err(|error| Error::path("opening", &path, error))?;
        Flock::lock(file, FlockArg::LockExclusive)
            .map(Lock)
            .map_err(|(_, errno)| Error::path("locking", &path, errno.into()))
    }

    fn make_directory(&self) -> Result<(), Error> {
        if self.directory.is_dir() {
            return Ok(());
        }
        DirBuilder::new()
            .recursive(true)
            .mode(0o755)
            .create(&self.directory)
            // Whatever the umask.
            .and_then(|()| fs::set_permissions(&self.directory, Permissions::from_mode(0o755)))
            .map_err(|error| Error::path("making", &self.directory, error))?;
        match self.directory.parent() {
            Some(parent) if parent != Path::new("") => self
                .files
                .sync_directory(parent)
                .map_err(|error| Error::path("syncing", parent, error)),
            _ => Ok(()),
        }
    }

    /// What the store has; nothing if there is none yet. It may be read without the lock.
    pub fn load(&self) -> Result<Document, Error> {
        let path = self.file();
        let bytes = match read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Document::default());
            }
            bytes => bytes.map_err(|error| Error::path("reading", &path, error))?,
        };
        let document = String::from_utf8(bytes)
            .map_err(|error| Error::new(ErrorKind::Damaged, error.to_string()))
            .and_then(|text| Document::parse(&text));
        document.map_err(|error| refused(&path, &error))
    }

    /// Replaces the store, so that a crash at any instant leaves the old one or the new one.
    pub fn save(&self, document: &Document) -> Result<(), Error> {
        let (new, path) = (self.directory.join("reservations.toml.new"), self.file());
        let text = document.format()?;
        let files = self.files();
        let write = || -> io::Result<()> {
            let mut file = files.create(&new)?;
            files.write(&mut file, text.as_bytes())?;
            // Else the rename could last and the text not.
            files.sync(&file)?;
            files.rename(&new, &path)?;
            files.sync_directory(&self.directory)
        };
        write().map_err(|error| Error::path("writing", &path, error))
    }
}

/// Far more than a store with every reservation that the kernel part has room for.
const LENGTH_MAX: u64 = 64 << 20;

/// The bytes of a file, and of nothing else: a FIFO would keep an administrator waiting, a device have
/// no end.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    let mut bytes = Vec::new();
    match file.take(LENGTH_MAX).read_to_end(&mut bytes)? as u64 {
        LENGTH_MAX => Err(io::Error::from_raw_os_error(libc::EFBIG)),
        _ => Ok(bytes),
    }
}

/// The store is left as it is, and so is the kernel: both are better than nothing.
fn refused(path: &Path, error: &Error) -> Error {
    let path = path.display();
    match error.kind() {
        ErrorKind::NewerVersion => Error::new(
            ErrorKind::NewerVersion,
            format!("{path} is of a later version of Portkeep: {error}"),
        )
        .with_hint(
            "use that version; the store and the reservations in the kernel stay as they are",
        ),
        _ => Error::new(
            ErrorKind::Damaged,
            format!("{path} cannot be understood: {error}"),
        )
        .with_hint(
            "mend the file, or move it away to begin anew; it and the reservations in the kernel \
             stay as they are",
        ),
    }
}
