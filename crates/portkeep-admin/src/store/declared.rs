//! Declared reservations and exclusions: files that administrators and their tools write, and Portkeep
//! only reads.

use std::collections::BTreeSet;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use portkeep_host::regular_file;
use serde::Deserialize;

use crate::error::{Error, ErrorKind};
use crate::store::document::{Record, parse};
use crate::store::entries::Lines;
use crate::store::keeper::Kind;
use crate::store::scope::Scope;

/// The directory whose files `portkeep apply` reads, and `portkeep enable`.
pub const DEFAULT_DECLARATIONS: &str = "/etc/portkeep/reservations.d";

/// The version of the format that is read: the first one, for ever.
const VERSION: u32 = 1;

/// A directory of so many files is not meant.
const FILES_MAX: usize = 10_000;

const LENGTH_MAX: u64 = 16 << 20;

/// How often a directory is read that changes meanwhile.
const ATTEMPTS: usize = 20;

/// What files declare.
#[derive(Clone, Debug, Default)]
pub struct Declared {
    /// The files that were read, and directories of which every file was.
    files: BTreeSet<PathBuf>,
    directories: BTreeSet<PathBuf>,
    pub(crate) entries: Vec<Declaration>,
}

/// An entry, and where it is declared.
#[derive(Clone, Debug)]
pub struct Declaration {
    pub kind: Kind,
    /// With the file as its source.
    pub record: Record,
    pub line: usize,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entries {
    #[expect(dead_code, reason = "checked when it is read")]
    version: u32,
    #[serde(default)]
    reservation: Vec<Record>,
    #[serde(default)]
    exclusion: Vec<Record>,
}

impl Declared {
    /// Reads files, and of directories each file whose name ends in `.toml` and does not begin with a
    /// dot. Nobody but root, or the caller, may be able to write them.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::System`], [`ErrorKind::Untrusted`], [`ErrorKind::Damaged`],
    /// [`ErrorKind::NewerVersion`], [`ErrorKind::InvalidInput`]; each names the file.
    pub fn read<P: AsRef<Path>>(paths: impl IntoIterator<Item = P>) -> Result<Declared, Error> {
        let mut declared = Declared::default();
        for path in paths {
            let given = path.as_ref();
            let path = std::path::absolute(given)
                .map_err(|error| Error::path("looking at", given, error))?;
            let failed = |error| Error::path("reading", given, error);
            let metadata = fs::symlink_metadata(&path).map_err(failed)?;
            if metadata.is_symlink() {
                return Err(untrusted(&path, "it is a symbolic link"));
            }
            // By one name each, whatever leads there: the name is what a later apply compares.
            let path = path.canonicalize().map_err(failed)?;
            if metadata.is_dir() {
                declared.read_directory(path)?;
            } else {
                declared.read_file(path)?;
            }
        }
        Ok(declared)
    }

    /// The same of the default directory; nothing where there is none.
    ///
    /// # Errors
    ///
    /// Those of [`Declared::read`].
    pub fn read_default(directory: &Path) -> Result<Declared, Error> {
        match fs::symlink_metadata(directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Declared {
                directories: BTreeSet::from([canonical(directory)]),
                ..Declared::default()
            }),
            _ => Declared::read([directory]),
        }
    }

    /// How many files were read.
    pub fn files(&self) -> usize {
        self.files.len()
    }

    /// How many reservations and exclusions they declare.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nothing is declared.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether what this file declared, and what only it declared, is to be removed.
    pub(crate) fn has_source(&self, source: &Path) -> bool {
        let parent = source.parent();
        self.files.contains(source)
            || parent.is_some_and(|parent| self.directories.contains(parent))
    }

    /// Once more if a file goes meanwhile: another one may have come in its place.
    fn read_directory(&mut self, directory: PathBuf) -> Result<(), Error> {
        for _ in 0..ATTEMPTS {
            let mut read = self.clone();
            match read.try_to_read_directory(directory.clone()) {
                Err(error) if error.errno() == Some(libc::ENOENT) && directory.exists() => {}
                done => {
                    *self = read;
                    return done;
                }
            }
        }
        let message = format!("{} changes all the time", directory.display());
        Err(Error::new(ErrorKind::System, message)
            .with_hint("wait until nobody writes there; nothing is changed"))
    }

    fn try_to_read_directory(&mut self, directory: PathBuf) -> Result<(), Error> {
        let failed = |error| Error::path("reading", &directory, error);
        let metadata = fs::symlink_metadata(&directory).map_err(failed)?;
        if let Some(distrust) = distrust(&metadata) {
            return Err(untrusted(&directory, distrust));
        }
        let mut names = Vec::new();
        for entry in fs::read_dir(&directory).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            let bytes = name.as_encoded_bytes();
            if bytes.ends_with(b".toml") && !bytes.starts_with(b".") {
                names.push(name);
            }
        }
        if names.len() > FILES_MAX {
            let message = format!(
                "{} has {} files: at most {FILES_MAX} are read",
                directory.display(),
                names.len()
            );
            return Err(Error::new(ErrorKind::InvalidInput, message)
                .with_hint("declare more in each file; nothing is changed"));
        }
        names.sort();
        for name in names {
            self.read_file(directory.join(name))?;
        }
        self.directories.insert(directory);
        Ok(())
    }

    fn read_file(&mut self, path: PathBuf) -> Result<(), Error> {
        // The store keeps it as text, and finds its entries by it.
        if path.to_str().is_none() {
            return Err(untrusted(&path, "its name is not UTF-8"));
        }
        if !self.files.insert(path.clone()) {
            return Ok(());
        }
        let text = read_text(&path)?;
        let entries: Entries = parse(&text, VERSION).map_err(|error| refused(&path, &error))?;
        let lines = Lines::of(&text);
        for (kind, records) in [
            (Kind::Reservation, entries.reservation),
            (Kind::Exclusion, entries.exclusion),
        ] {
            for (index, mut record) in records.into_iter().enumerate() {
                let line = lines.line(kind, index);
                check(kind, &mut record).map_err(|error| at(&path, line, &error))?;
                record.source = Some(path.clone());
                self.entries.push(Declaration { kind, record, line });
            }
        }
        Ok(())
    }
}

impl Declaration {
    /// As in `/etc/portkeep/reservations.d/voip.toml:12`.
    pub fn place(&self) -> String {
        let file = self.record.source.as_deref().unwrap_or(Path::new(""));
        format!("{}:{}", file.display(), self.line)
    }
}

/// By the name that [`Declared::read`] would give a directory that is gone.
fn canonical(directory: &Path) -> PathBuf {
    let mut above = directory.ancestors().skip(1);
    let found = above.find_map(|above| {
        let rest = directory.strip_prefix(above).ok()?;
        Some(above.canonicalize().ok()?.join(rest))
    });
    found.unwrap_or_else(|| directory.to_owned())
}

fn check(kind: Kind, record: &mut Record) -> Result<(), Error> {
    let wrong = |message: &str| Err(Error::new(ErrorKind::InvalidInput, message));
    if record.source.is_some() {
        return wrong("`source` is Portkeep's own; leave it out");
    }
    if record.fleet.is_some() || record.owner.is_some() {
        return wrong("`fleet` and `owner` are Portkeep's own; leave them out");
    }
    if matches!(record.netns, Scope::Living { .. }) {
        return wrong("a network namespace is declared by its path, or as \"every\"");
    }
    if kind == Kind::Exclusion && record.has_consumers() {
        return wrong("everybody may bind to excluded ports; leave users, groups and cgroups out");
    }
    record.check_names()
}

/// The text of a regular file that nobody else can write. A FIFO would keep us waiting, a device have
/// no end, and a link lead to what others chose.
fn read_text(path: &Path) -> Result<String, Error> {
    let failed = |error: io::Error| match error.raw_os_error() {
        Some(libc::ELOOP) => untrusted(path, "it is a symbolic link"),
        _ => Error::path("reading", path, error),
    };
    let file: File = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path)
        .map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err(untrusted(path, "it is not a regular file"));
    }
    if let Some(distrust) = distrust(&metadata) {
        return Err(untrusted(path, distrust));
    }
    let bytes = regular_file::read_below(file, LENGTH_MAX).map_err(failed)?;
    String::from_utf8(bytes)
        .map_err(|error| refused(path, &Error::new(ErrorKind::Damaged, error.to_string())))
}

fn distrust(metadata: &Metadata) -> Option<&'static str> {
    // SAFETY: cannot fail and touches no memory.
    let own = unsafe { libc::geteuid() };
    if metadata.uid() != 0 && metadata.uid() != own {
        return Some("another user than root owns it");
    }
    (metadata.mode() & 0o022 != 0).then_some("others than its owner can write it")
}

fn untrusted(path: &Path, why: &str) -> Error {
    let message = format!("{} is not trusted: {why}", path.display());
    Error::new(ErrorKind::Untrusted, message).with_hint(
        "declare reservations in regular files that root owns and nobody else can write; \
         nothing is changed",
    )
}

fn at(path: &Path, line: usize, error: &Error) -> Error {
    let message = format!("{}:{line}: {error}", path.display());
    let hint = error.hint().unwrap_or("fix the file; nothing is changed");
    Error::new(error.kind(), message).with_hint(hint)
}

fn refused(path: &Path, error: &Error) -> Error {
    let path = path.display();
    match error.kind() {
        ErrorKind::NewerVersion => Error::new(
            ErrorKind::NewerVersion,
            format!("{path} is of a later version of the format: {error}"),
        )
        .with_hint("upgrade Portkeep; nothing is changed"),
        _ => Error::new(ErrorKind::Damaged, format!("cannot parse {path}: {error}"))
            .with_hint("fix the file; nothing is changed"),
    }
}
