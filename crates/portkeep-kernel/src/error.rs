use std::fmt;
use std::io;
use std::path::Path;

use portkeep_host::bpffs::OpenError;

/// What kind of failure an [`Error`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The caller lacks a privilege.
    NotPermitted,
    /// The kernel lacks something that Portkeep needs.
    MissingFeature,
    /// What is installed has another ABI or layout than this crate.
    ForeignVersion,
    /// An installation or a removal was interrupted half way.
    Interrupted,
    /// A path or a setting does not make sense.
    InvalidInput,
    /// Others than root have made, or can change, what is where the kernel part is pinned.
    Untrusted,
    /// The installed programs did not see what they must see.
    ProofFailed,
    /// A system call failed.
    System,
}

/// Why the kernel part could not be installed, inspected or removed.
#[derive(Debug)]
pub struct Error(Box<Inner>);

#[derive(Debug)]
struct Inner {
    kind: ErrorKind,
    message: String,
    hint: Option<String>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
    errno: Option<i32>,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Error {
        Error(Box::new(Inner {
            kind,
            message: message.into(),
            hint: None,
            source: None,
            errno: None,
        }))
    }

    /// A failed system call: `doing` says what it was for, and to what.
    pub(crate) fn system(doing: impl Into<String>, error: io::Error) -> Error {
        let kind = match error.raw_os_error() {
            Some(libc::EPERM | libc::EACCES) => ErrorKind::NotPermitted,
            _ => ErrorKind::System,
        };
        let mut this = Error::new(kind, doing);
        if kind == ErrorKind::NotPermitted {
            this = this.with_hint("run this as root");
        }
        this.0.errno = error.raw_os_error();
        this.0.source = Some(Box::new(error));
        this
    }

    pub(crate) fn path(doing: &str, path: &Path, error: io::Error) -> Error {
        Error::system(format!("{doing} {}", path.display()), error)
    }

    /// A failure inside libbpf, whose errors tell the kind but not the number.
    pub(crate) fn bpf(doing: impl Into<String>, error: libbpf_rs::Error) -> Error {
        let this = match error.kind() {
            libbpf_rs::ErrorKind::PermissionDenied => {
                Error::new(ErrorKind::NotPermitted, doing).with_hint("run this as root")
            }
            _ => Error::new(ErrorKind::System, doing),
        };
        this.caused_by(error)
    }

    pub(crate) fn with_hint(mut self, hint: impl Into<String>) -> Error {
        self.0.hint = Some(hint.into());
        self
    }

    pub(crate) fn caused_by(
        mut self,
        source: impl std::error::Error + Send + Sync + 'static,
    ) -> Error {
        self.0.source = Some(Box::new(source));
        self
    }

    /// What kind of failure this is.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The error number of the system call that failed, if one did.
    pub fn errno(&self) -> Option<i32> {
        self.0.errno
    }

    /// What to do next, if there is something.
    pub fn hint(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }
}

impl From<OpenError> for Error {
    fn from(error: OpenError) -> Error {
        match error {
            OpenError::System(path, error) => Error::path("looking at", &path, error),
            error => {
                let this = Error::new(ErrorKind::Untrusted, error.to_string());
                match error.hint() {
                    Some(hint) => this.with_hint(hint),
                    None => this,
                }
            }
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}
