use std::fmt;
use std::io;
use std::path::Path;

/// What kind of refusal or failure an [`Error`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The caller lacks a privilege.
    NotPermitted,
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
    /// What is asked for makes no sense.
    InvalidInput,
    /// The kernel part refused.
    Kernel,
    /// A setting of the kernel did not become what was written.
    Setting,
    /// A system call failed.
    System,
}

/// Why a persistent reservation could not be made, removed or restored.
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

    /// A failed system call: `doing` says what it was for.
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

    pub(crate) fn with_hint(mut self, hint: impl Into<String>) -> Error {
        self.0.hint = Some(hint.into());
        self
    }

    /// The kind.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The errno of the system call or of the kernel part's refusal, where there was one.
    pub fn errno(&self) -> Option<i32> {
        self.0.errno
    }

    /// What to do next, as a sentence, where there is something.
    pub fn hint(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_ref().map(|source| source.as_ref() as _)
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

impl From<portkeep_kernel::Error> for Error {
    fn from(error: portkeep_kernel::Error) -> Error {
        let mut this = Error::new(ErrorKind::Kernel, error.to_string());
        this.0.hint = error.hint().map(str::to_owned);
        this.0.errno = error.errno();
        this.0.source = Some(Box::new(error));
        this
    }
}
