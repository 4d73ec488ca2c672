//! The error type of the commands, with the exit status, the message and the hints.

use std::fmt;
use std::io::{self, Write as _};
use std::process::ExitCode;

use crate::engine::EngineError;
use crate::output::{escaped, lines};

/// What commands return.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What kind of error it is; this decides the exit status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The command cannot do what it was asked to do.
    Refused,
    /// The arguments contradict each other.
    Usage,
    /// What is there differs from what is to be (`drift`).
    Differs,
    /// The engine cannot be asked, or its answer was lost.
    Undecided,
    /// The reader of the output has gone. That is no failure.
    OutputClosed,
}

impl Kind {
    /// The exit status of the command.
    pub fn exit_status(self) -> u8 {
        match self {
            Kind::OutputClosed => 0,
            Kind::Refused => 1,
            Kind::Usage => 2,
            Kind::Differs => 3,
            Kind::Undecided => 4,
        }
    }
}

impl From<Kind> for ExitCode {
    fn from(kind: Kind) -> ExitCode {
        ExitCode::from(kind.exit_status())
    }
}

/// Why a command ends early, in words.
#[derive(Debug)]
pub struct Error {
    kind: Kind,
    message: String,
    hints: Vec<String>,
}

impl Error {
    /// An error of this kind.
    pub fn new(kind: Kind, message: impl Into<String>) -> Error {
        Error {
            kind,
            message: message.into(),
            hints: Vec::new(),
        }
    }

    /// The command cannot do what it was asked to do.
    pub fn refused(message: impl Into<String>) -> Error {
        Error::new(Kind::Refused, message)
    }

    /// The arguments contradict each other.
    pub fn usage(message: impl Into<String>) -> Error {
        Error::new(Kind::Usage, message)
    }

    /// The engine cannot be asked, or its answer was lost.
    pub fn undecided(message: impl Into<String>) -> Error {
        Error::new(Kind::Undecided, message)
    }

    /// The engine has no fleet of the configuration's name.
    pub fn no_fleet() -> Error {
        Error::refused("there is no such fleet").with_hint("`portkeep fleet init` makes one")
    }

    /// Adds a suggestion what to do next.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Error {
        self.hints.push(hint.into());
        self
    }

    /// Says first what failed.
    #[must_use]
    pub fn context(mut self, what: &str) -> Error {
        self.message = format!("{what}: {}", self.message);
        self
    }

    /// What kind of error it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// What happened.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What to do then.
    pub fn hints(&self) -> &[String] {
        &self.hints
    }

    /// Prints to standard error, which may be closed, as after a hang-up.
    pub fn print(&self) {
        let mut err = io::stderr().lock();
        let _ = writeln!(err, "portkeep: {}", lines(&self.message));
        for hint in &self.hints {
            let _ = writeln!(err, "Hint: {}", escaped(hint));
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

impl From<EngineError> for Error {
    fn from(error: EngineError) -> Error {
        let kind = match error {
            EngineError::Unreachable(_) => Kind::Undecided,
            _ => Kind::Refused,
        };
        let hint = error.hint();
        let mut error = Error::new(kind, error.to_string());
        error.hints.extend(hint.map(str::to_owned));
        error
    }
}

impl From<portkeep_admin::Error> for Error {
    fn from(error: portkeep_admin::Error) -> Error {
        let mut message = error.to_string();
        let mut cause = std::error::Error::source(&error);
        while let Some(error) = cause {
            let text = error.to_string();
            if !message.ends_with(&text) {
                message = format!("{message}: {text}");
            }
            cause = error.source();
        }
        let hints = error.hint().map(str::to_owned).into_iter().collect();
        Error {
            kind: Kind::Refused,
            message,
            hints,
        }
    }
}

impl From<nix::errno::Errno> for Error {
    fn from(errno: nix::errno::Errno) -> Error {
        io::Error::from(errno).into()
    }
}

impl From<serde_json::Error> for Error {
    fn from(error: serde_json::Error) -> Error {
        io::Error::from(error).into()
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Error {
        let kind = match error.kind() {
            io::ErrorKind::BrokenPipe => Kind::OutputClosed,
            _ => Kind::Refused,
        };
        Error::new(kind, error.to_string())
    }
}
