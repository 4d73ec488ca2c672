//! The store's directory: its lock, and how the file in it is replaced.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};
use portkeep_host::regular_file;

use crate::error::{Error, ErrorKind};
use crate::store::document::{Document, Record};
use crate::store::entries::{self, Entries};
use crate::store::files::Files;
use crate::store::fleet::Grants;
use crate::store::namespace::boot;
use crate::store::notes::Notes;

/// Where the store is unless told otherwise.
pub const DEFAULT_DIRECTORY: &str = "/var/lib/portkeep";

/// What administrators want.
const ENTRIES: &str = "reservations.toml";

/// What Portkeep notes.
const NOTES: &str = "notes.toml";

/// The grants of the fleet in this boot.
const GRANTS: &str = "fleet.toml";

/// A directory with a store in it.
#[derive(Debug)]
pub struct Store {
    directory: PathBuf,
    /// What is gone with the boot.
    run_directory: PathBuf,
    files: Box<dyn Files>,
}

/// What the store had when it was read.
#[derive(Debug)]
pub struct Loaded {
    pub document: Document,
    /// The text of its file, if there is one.
    pub text: Option<String>,
    /// Whether the notes come from the file of the entries, where an earlier version kept them.
    pub notes_are_elsewhere: bool,
}

/// Held while the store and what it describes are changed; given back on drop.
#[derive(Debug)]
pub struct Lock(#[expect(dead_code, reason = "held, not read")] Flock<File>);

impl Store {
    pub fn new(directory: PathBuf, run_directory: PathBuf, files: Box<dyn Files>) -> Store {
        Store {
            directory,
            run_directory,
            files,
        }
    }

    pub fn files(&self) -> &dyn Files {
        self.files.as_ref()
    }

    /// The file that is the store.
    pub fn file(&self) -> PathBuf {
        self.directory.join(ENTRIES)
    }

    /// Waits until nobody else changes the store. Makes its directory where it is missing.
    ///
    /// Only root can open what is locked, so nobody else can keep an administrator waiting.
    pub fn lock(&self) -> Result<Lock, Error> {
        self.make_directory(&self.directory).map_err(unchanged)?;
        let path = self.directory.join("lock");
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW)
            .open(&path)
            .map_err(|error| unchanged(Error::path("opening", &path, error)))?;
        Flock::lock(file, FlockArg::LockExclusive)
            .map(Lock)
            .map_err(|(_, errno)| Error::path("locking", &path, errno.into()))
    }

    fn make_directory(&self, directory: &Path) -> Result<(), Error> {
        if directory.is_dir() {
            return Ok(());
        }
        DirBuilder::new()
            .recursive(true)
            .mode(0o755)
            .create(directory)
            // Whatever the umask.
            .and_then(|()| fs::set_permissions(directory, Permissions::from_mode(0o755)))
            .map_err(|error| Error::path("making", directory, error))?;
        match directory.parent() {
            Some(parent) if parent != Path::new("") => self
                .files
                .sync_directory(parent)
                .map_err(|error| Error::path("syncing", parent, error)),
            _ => Ok(()),
        }
    }

    /// Portkeep's own notes.
    pub fn notes_file(&self) -> PathBuf {
        self.directory.join(NOTES)
    }

    /// What the store has; nothing if there is none yet. It may be read without the lock.
    pub fn load(&self) -> Result<Document, Error> {
        self.read().map(|loaded| loaded.document)
    }

    /// The same, with what is needed to write it again.
    pub fn read(&self) -> Result<Loaded, Error> {
        let notes = self.notes()?;
        let (path, text) = (self.file(), self.text(&self.file())?);
        let entries = match &text {
            Some(text) => Some(Entries::parse(text).map_err(|error| refused(&path, &error))?),
            None => None,
        };
        let notes_are_elsewhere =
            notes.is_none() && entries.as_ref().is_some_and(Entries::has_notes);
        let mut document = match entries {
            Some(entries) => entries.with_notes(notes),
            None => Document {
                notes: notes.unwrap_or_default(),
                ..Document::default()
            },
        };
        document.reservations.extend(self.grants()?);
        Ok(Loaded {
            document,
            text,
            notes_are_elsewhere,
        })
    }

    /// The notes alone; `None` if there are none yet.
    pub fn notes(&self) -> Result<Option<Notes>, Error> {
        let Some(text) = self.text(&self.notes_file())? else {
            return Ok(None);
        };
        Notes::parse(&text)
            .map(Some)
            .map_err(|error| refused(&self.notes_file(), &error))
    }

    fn grants_file(&self) -> PathBuf {
        self.run_directory.join(GRANTS)
    }

    /// The grants of this boot.
    fn grants(&self) -> Result<Vec<Record>, Error> {
        let path = self.grants_file();
        let Some(text) = self.text(&path)? else {
            return Ok(Vec::new());
        };
        Grants::parse(&text, &boot()?).map_err(|error| refused(&path, &error))
    }

    fn text(&self, path: &Path) -> Result<Option<String>, Error> {
        let bytes = match regular_file::read(path, LENGTH_MAX) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            bytes => bytes.map_err(|error| Error::path("reading", path, error))?,
        };
        String::from_utf8(bytes)
            .map(Some)
            .map_err(|error| refused(path, &Error::new(ErrorKind::Damaged, error.to_string())))
    }

    /// Writes the entries into the text that the file had; gives the new one.
    pub fn save_entries(&self, text: Option<&str>, document: &Document) -> Result<String, Error> {
        let text = entries::render(text, document)?;
        self.replace(ENTRIES, &text)?;
        Ok(text)
    }

    /// Writes the notes.
    pub fn save_notes(&self, notes: &Notes) -> Result<(), Error> {
        self.replace(NOTES, &notes.format()?)
    }

    /// Writes the grants. A crash leaves the old ones or the new ones; a power cut leaves none.
    pub fn save_grants(&self, document: &Document, boot: &str) -> Result<(), Error> {
        self.make_directory(&self.run_directory)?;
        let text = Grants::among(&document.reservations, boot).format()?;
        let path = self.grants_file();
        let new = path.with_extension("toml.new");
        let files = self.files();
        let write = || -> io::Result<()> {
            let mut file = files.create(&new)?;
            files.write(&mut file, text.as_bytes())?;
            files.rename(&new, &path)
        };
        write().map_err(|error| failed_to_write(&new, &path, error))
    }

    /// Replaces a file, so that a crash at any instant leaves the old one or the new one.
    fn replace(&self, name: &str, text: &str) -> Result<(), Error> {
        let (new, path) = (
            self.directory.join(format!("{name}.new")),
            self.directory.join(name),
        );
        let files = self.files();
        let write = || -> io::Result<()> {
            let mut file = files.create(&new)?;
            files.write(&mut file, text.as_bytes())?;
            // Else the rename could last and the text not.
            files.sync(&file)?;
            files.rename(&new, &path)?;
            files.sync_directory(&self.directory)
        };
        write().map_err(|error| failed_to_write(&new, &path, error))
    }
}

/// Half of a file is of no use, and takes room that somebody may be waiting for.
fn failed_to_write(new: &Path, path: &Path, error: io::Error) -> Error {
    let _ = fs::remove_file(new);
    Error::path("writing", path, error)
}

fn unchanged(error: Error) -> Error {
    match error.hint() {
        Some(_) => error,
        None => error.with_hint("nothing is changed"),
    }
}

/// Far more than a store with every reservation that the kernel part has room for.
const LENGTH_MAX: u64 = 64 << 20;

/// The store is left as it is, and so is the kernel: both are better than nothing.
fn refused(path: &Path, error: &Error) -> Error {
    let path = path.display();
    match error.kind() {
        ErrorKind::NewerVersion => Error::new(
            ErrorKind::NewerVersion,
            format!("{path} was written by a later version of Portkeep: {error}"),
        )
        .with_hint(
            "use that version; the store and the reservations in the kernel stay as they are",
        ),
        ErrorKind::Overlap => Error::new(
            ErrorKind::Overlap,
            format!("entries of {path} overlap: {error}"),
        )
        .with_hint(
            "change or delete one of them; until then neither the file changes nor the \
             reservations in the kernel",
        ),
        _ => Error::new(ErrorKind::Damaged, format!("cannot parse {path}: {error}")).with_hint(
            "fix the file, or move it away to start again; it and the reservations in the kernel \
             stay as they are",
        ),
    }
}
