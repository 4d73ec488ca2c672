//! The error type of the command, with the exit status, the message and the hints.

use std::fmt;
use std::io::{self, Write as _};
use std::process::ExitCode;

use nix::errno::Errno;
use serde::{Deserialize, Serialize};

use crate::output::{escaped, lines};
use crate::words;

pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What kind of error it is; this decides the exit status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// The command cannot do what it was asked to do.
    Refused,
    /// The arguments contradict each other.
    Usage,
    /// `run` finds no such command.
    CommandNotFound,
    /// `run` cannot execute the command.
    CommandNotExecutable,
    /// `run` cannot start the command for any other reason.
    CommandRefused,
    /// A signal of this number came while the command waited. Whoever sent it knows.
    Interrupted(u8),
    /// The reader of the output has gone, as in `portkeep ls | head -1`. That is no failure.
    OutputClosed,
}

impl Kind {
    /// 125 to 127 are those of env(1), timeout(1) and docker: commands have 1 and 2 for failures of their own.
    pub fn exit_status(self) -> u8 {
        match self {
            Self::OutputClosed => 0,
            Self::Refused => 1,
            Self::Usage => 2,
            Self::CommandRefused => 125,
            Self::CommandNotExecutable => 126,
            Self::CommandNotFound => 127,
            Self::Interrupted(number) => 128 + number,
        }
    }
}

impl From<Kind> for ExitCode {
    fn from(kind: Kind) -> Self {
        ExitCode::from(kind.exit_status())
    }
}

/// Why a command ends early, in words. It holds text instead of the errors that caused it, so the holder
/// of `portkeep run` can send it to the foreground process.
#[derive(Debug, Serialize, Deserialize)]
pub struct Error {
    kind: Kind,
    message: String,
    hints: Vec<String>,
}

impl Error {
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            hints: Vec::new(),
        }
    }

    pub fn refused(message: impl Into<String>) -> Self {
        Self::new(Kind::Refused, message)
    }

    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Kind::Usage, message)
    }

    /// Adds a suggestion what to do next.
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Adds the message and the hints of the cause.
    pub fn caused_by(mut self, cause: impl Into<Error>) -> Self {
        let cause = cause.into();
        append(&mut self.message, &cause.message);
        self.hints.extend(cause.hints);
        self
    }

    /// As a failure of `run` itself.
    pub fn of_run(mut self) -> Self {
        if matches!(self.kind, Kind::Refused | Kind::Usage) {
            self.kind = Kind::CommandRefused;
        }
        self
    }

    pub fn kind(&self) -> Kind {
        self.kind
    }

    pub fn message(&self) -> &str {
        &self.message
    }

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

    /// From an error of a library and its causes.
    fn from_chain(kind: Kind, error: &dyn std::error::Error, hint: Option<String>) -> Self {
        let mut message = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            append(&mut message, &error.to_string());
            cause = error.source();
        }
        Self {
            kind,
            message,
            hints: hint.into_iter().collect(),
        }
    }
}

/// Some errors already include the message of their cause.
fn append(message: &mut String, cause: &str) {
    if !message.ends_with(cause) {
        message.push_str(": ");
        message.push_str(cause);
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

impl From<portkeep::Error> for Error {
    fn from(error: portkeep::Error) -> Self {
        match error.conflict() {
            Some(conflict) => Self {
                kind: Kind::Refused,
                message: words::conflict(conflict),
                hints: error.hint().into_iter().collect(),
            },
            None => Self::from_chain(Kind::Refused, &error, error.hint()),
        }
    }
}

impl From<portkeep_admin::Error> for Error {
    fn from(error: portkeep_admin::Error) -> Self {
        Self::from_chain(Kind::Refused, &error, error.hint().map(str::to_owned))
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        let kind = match error.kind() {
            io::ErrorKind::BrokenPipe => Kind::OutputClosed,
            _ => Kind::Refused,
        };
        Self::from_chain(kind, &error, None)
    }
}

impl From<Errno> for Error {
    fn from(errno: Errno) -> Self {
        io::Error::from(errno).into()
    }
}

impl From<serde_json::Error> for Error {
    fn from(error: serde_json::Error) -> Self {
        io::Error::from(error).into()
    }
}

/// Adds what failed to an error.
pub trait Context<T> {
    fn context(self, what: impl Into<String>) -> Result<T>;

    fn with_context(self, what: impl FnOnce() -> String) -> Result<T>;
}

impl<T, E: Into<Error>> Context<T> for Result<T, E> {
    fn context(self, what: impl Into<String>) -> Result<T> {
        self.with_context(|| what.into())
    }

    fn with_context(self, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|cause| {
            let cause = cause.into();
            Error::new(cause.kind, what()).caused_by(cause)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cause() -> io::Error {
        io::Error::from_raw_os_error(libc::EMFILE)
    }

    #[test]
    fn a_cause_is_printed_once() {
        let failed: Result<(), _> = Err(cause());
        let once = failed.context("cannot hold").expect_err("an error");
        assert_eq!(once.message(), format!("cannot hold: {}", cause()));
        let with_cause = Error::refused(format!("making a socket failed: {}", cause()));
        let twice = Error::refused("cannot hold").caused_by(with_cause.caused_by(cause()));
        let text = format!("cannot hold: making a socket failed: {}", cause());
        assert_eq!(twice.message(), text);
    }

    #[test]
    fn the_kind_and_the_hints_of_a_cause_stay() {
        let broken: Result<(), _> = Err(io::Error::from(io::ErrorKind::BrokenPipe));
        let error = broken.context("cannot write").expect_err("an error");
        assert_eq!(error.kind(), Kind::OutputClosed);
        let refused = portkeep::Reservation::builder().count(0).acquire();
        let cause = Error::from(refused.expect_err("no ports")).with_hint("inner");
        let error = Error::refused("cannot").with_hint("outer").caused_by(cause);
        assert_eq!(error.hints().first().map(String::as_str), Some("outer"));
        assert_eq!(error.hints().last().map(String::as_str), Some("inner"));
    }
}
