use std::fmt;
use std::io;
use std::path::Path;

use portkeep_host::bpffs::OpenError;

/// What kind of refusal or failure an [`Error`] is.
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
    /// An argument is invalid.
    InvalidInput,
    /// Others than root have made, or can change, what is where the kernel part is pinned.
    Untrusted,
    /// The installed programs did not see what they must see.
    ProofFailed,
    /// The store cannot be understood; it is left as it is.
    Damaged,
    /// Entries of the store overlap; it is left as it is.
    Overlap,
    /// The store was written by a later version; it is left as it is.
    NewerVersion,
    /// There is no such user, group, cgroup or network namespace.
    UnknownName,
    /// The ports overlap those of a reservation or an exclusion.
    Reserved,
    /// Sockets are bound to some of the ports.
    InUse,
    /// The kernel part refused.
    Kernel,
    /// A setting of the kernel did not become what was written.
    Setting,
    /// A system call failed.
    System,
}

/// Why the kernel part or a persistent reservation could not be made, changed or removed.
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

/// The words stay the library's, with nothing added: it names the port and who is in the way.
impl From<portkeep::Error> for Error {
    fn from(error: portkeep::Error) -> Error {
        let kind = match error.kind() {
            portkeep::ErrorKind::Reserved => ErrorKind::Reserved,
            portkeep::ErrorKind::InUse => ErrorKind::InUse,
            _ if error.errno() == Some(libc::EACCES) => ErrorKind::NotPermitted,
            _ => ErrorKind::Kernel,
        };
        let mut this = Error::new(kind, error.to_string());
        this.0.hint = error.hint();
        this.0.errno = error.errno();
        this
    }
}
