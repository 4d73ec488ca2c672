//! What a refused command tells its user: the reason and what to do next.

use std::io::{self, Write as _};

use portkeep::Consumer;
use portkeep_admin::{group_name, user_name};
use serde::{Deserialize, Serialize};

use crate::printable::{escaped, lines};

/// The exit code of a command that was refused.
pub const REFUSED: u8 = 1;

/// An error of the command line itself that knows what to do next.
#[derive(Debug)]
pub struct Refusal {
    pub message: String,
    pub hint: String,
    pub source: Option<portkeep::Error>,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Refusal {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|source| source as _)
    }
}

/// An error put into words; unlike the error it can be sent to another process.
#[derive(Debug, Serialize, Deserialize)]
pub struct Failure {
    pub message: String,
    pub hints: Vec<String>,
}

impl From<&anyhow::Error> for Failure {
    fn from(error: &anyhow::Error) -> Self {
        let hints = error.chain().filter_map(hint).collect();
        Self {
            message: message(error),
            hints,
        }
    }
}

impl Failure {
    /// Of one who knows why: a signal told us to end.
    pub fn silent() -> Self {
        Self {
            message: String::new(),
            hints: Vec::new(),
        }
    }

    /// Prints to standard error; if that is closed, as after a hang-up, there is nobody to tell.
    pub fn print(&self) {
        if self.message.is_empty() {
            return;
        }
        let mut err = io::stderr().lock();
        let _ = writeln!(err, "portkeep: {}", lines(&self.message));
        for hint in &self.hints {
            let _ = writeln!(err, "Hint: {}", escaped(hint));
        }
    }
}

/// The errors from the outermost to the first cause. An error of the library also says what its cause
/// says, for those who print it alone.
fn message(error: &anyhow::Error) -> String {
    let mut message = String::new();
    for cause in error.chain().map(words) {
        if message.is_empty() {
            message = cause;
        } else if !message.ends_with(&cause) {
            message.push_str(": ");
            message.push_str(&cause);
        }
    }
    message
}

/// An error of the library has numbers, here they are names, as everywhere else in the output.
fn words(error: &(dyn std::error::Error + 'static)) -> String {
    let conflict = error.downcast_ref().and_then(portkeep::Error::conflict);
    conflict.map_or_else(
        || error.to_string(),
        |conflict| {
            conflict.with_names(|consumer| match consumer {
                Consumer::User(uid) => Some(user_name(uid)),
                Consumer::Group(gid) => Some(group_name(gid)),
                _ => None,
            })
        },
    )
}

fn hint(error: &(dyn std::error::Error + 'static)) -> Option<String> {
    if let Some(refusal) = error.downcast_ref::<Refusal>() {
        return Some(refusal.hint.clone());
    }
    if let Some(error) = error.downcast_ref::<portkeep_admin::Error>() {
        return error.hint().map(str::to_owned);
    }
    if let Some(error) = error.downcast_ref::<portkeep_admin::Error>() {
        return error.hint().map(str::to_owned);
    }
    error.downcast_ref::<portkeep::Error>()?.hint()
}

/// Whether the reader of our output has gone, as in `portkeep ls | head -1`.
pub fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause
            .downcast_ref::<io::Error>()
            .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_told_once() {
        let cause = || io::Error::from_raw_os_error(libc::EMFILE);
        let twice =
            anyhow::Error::new(cause()).context(format!("making a socket failed: {}", cause()));
        let text = format!("cannot hold: making a socket failed: {}", cause());
        assert_eq!(message(&twice.context("cannot hold")), text);
        let once = anyhow::Error::new(cause()).context("cannot hold");
        assert_eq!(message(&once), format!("cannot hold: {}", cause()));
    }
}
