use std::fmt;
use std::io;
use std::path::PathBuf;

/// What to do about something that others than root have made in a bpf file system, or can change.
pub const UNTRUSTED_HINT: &str = "nothing there was trusted or changed; as root, find the owner with `ls -la`, and remove it or \
     take the right to write from others";

/// Why something in a bpf file system cannot be used.
#[derive(Debug)]
#[non_exhaustive]
pub enum OpenError {
    /// A system call failed on this path.
    System(PathBuf, io::Error),
    /// This path is in no bpf file system.
    NotBpf(PathBuf),
    /// Somebody else than root has made this path, or can change it.
    Untrusted(PathBuf, Distrust),
}

/// What tells that somebody else than root has a hand in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Distrust {
    /// It belongs to this user.
    Owner(u32),
    /// It is a symbolic link, or another thing that the kernel part does not make there.
    Kind,
    /// Others may write to it, by this mode.
    Mode(u32),
}

impl OpenError {
    /// Whether there is nothing at all.
    pub fn is_not_found(&self) -> bool {
        matches!(self, OpenError::System(_, error) if error.kind() == io::ErrorKind::NotFound)
    }

    /// What to do next, where there is something.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            OpenError::Untrusted(..) => Some(UNTRUSTED_HINT),
            OpenError::NotBpf(_) => Some("name the mount point of the bpf file system"),
            OpenError::System(..) => None,
        }
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OpenError::System(path, error) => {
                write!(f, "{} cannot be read: {error}", path.display())
            }
            OpenError::NotBpf(path) => write!(f, "{} is not in a bpf file system", path.display()),
            OpenError::Untrusted(path, distrust) => {
                let path = path.display();
                match distrust {
                    Distrust::Owner(uid) => write!(f, "{path} belongs to user {uid}, not to root"),
                    Distrust::Kind => write!(f, "{path} is not what the kernel part creates there"),
                    Distrust::Mode(mode) => {
                        write!(f, "{path} can be changed by other users (mode {mode:o})")
                    }
                }
            }
        }
    }
}

impl std::error::Error for OpenError {}
