//! The result of a check.

use std::fmt;

use serde::Serialize;

use crate::error::Error;

/// The state of a thing, from good to bad.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    Ok,
    /// Seeing it takes a privilege.
    Unknown,
    /// It works, but perhaps not as the operator expects.
    Warning,
    Wrong,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ok => "ok",
            Self::Unknown => "unknown",
            Self::Warning => "warning",
            Self::Wrong => "wrong",
        })
    }
}

/// The result of a check. A thing with several faults has a check for each.
#[derive(Debug, Serialize)]
pub struct Check {
    /// The name of the thing, which stays the same in every version.
    pub name: &'static str,
    pub state: State,
    pub message: String,
    /// How to fix it.
    pub hint: Option<String>,
}

impl Check {
    pub fn ok(name: &'static str, message: impl Into<String>) -> Self {
        Self {
            name,
            state: State::Ok,
            message: message.into(),
            hint: None,
        }
    }

    pub fn not_ok(
        name: &'static str,
        state: State,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        Self {
            name,
            state,
            message: message.into(),
            hint: Some(hint.into()),
        }
    }

    /// An error with its own message and hint.
    pub fn error(name: &'static str, state: State, error: impl Into<Error>) -> Self {
        let error = error.into();
        Self {
            name,
            state,
            message: error.message().to_owned(),
            hint: error.hints().first().cloned(),
        }
    }

    /// An error of the kernel part: unknown if only root may see it.
    pub fn kernel_error(name: &'static str, error: portkeep_admin::Error) -> Self {
        match error.kind() {
            portkeep_admin::ErrorKind::NotPermitted => Self::not_ok(
                name,
                State::Unknown,
                "only root can see it",
                "run this as root",
            ),
            _ => Self::error(name, State::Wrong, error),
        }
    }
}
