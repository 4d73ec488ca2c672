use std::fmt;

use etcd_client::Error as Client;

/// Why the engine did not do what it was asked to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EngineError {
    /// No member answers, or none has a leader.
    Unreachable(String),
    /// This certificate's role may not do that.
    Denied(String),
    /// etcd refuses it: it is too large, or there is no space.
    Refused(String),
    /// What is there is not what belongs there.
    Unreadable(String),
    /// A certificate or key cannot be used.
    Certificate(String),
}

impl EngineError {
    /// What to do then.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            EngineError::Unreachable(_) => {
                Some("`etcdctl endpoint health` with the same certificates says more")
            }
            EngineError::Denied(_) => Some(
                "the common name of the certificate is the user of etcd; `portkeep fleet node add` makes a node's role",
            ),
            EngineError::Refused(_) | EngineError::Unreadable(_) | EngineError::Certificate(_) => {
                None
            }
        }
    }

    /// Whether asking another member may help.
    pub(super) fn is_of_the_member(&self) -> bool {
        matches!(self, EngineError::Unreachable(_))
    }
}

impl fmt::Display for EngineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EngineError::Unreachable(why) => write!(f, "etcd cannot be asked: {why}"),
            EngineError::Denied(why) => write!(f, "etcd does not allow it: {why}"),
            EngineError::Refused(why) => write!(f, "etcd refuses it: {why}"),
            EngineError::Unreadable(why) => write!(f, "etcd has something else there: {why}"),
            EngineError::Certificate(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for EngineError {}

// Codes of gRPC.
const INVALID_ARGUMENT: i32 = 3;
const NOT_FOUND: i32 = 5;
const PERMISSION_DENIED: i32 = 7;
const RESOURCE_EXHAUSTED: i32 = 8;
const FAILED_PRECONDITION: i32 = 9;
const OUT_OF_RANGE: i32 = 11;
const UNAUTHENTICATED: i32 = 16;

/// What a failed request says.
#[derive(Debug)]
pub(super) enum Failure {
    /// It was certainly not done.
    Certain(EngineError),
    /// It was certainly not done, for roles have changed meanwhile.
    Again(EngineError),
    /// A revision is gone, or the answer was too large.
    OutOfRange(EngineError),
    /// Nothing is known.
    Unknown(EngineError),
}

impl Failure {
    pub(super) fn error(self) -> EngineError {
        match self {
            Failure::Certain(error) | Failure::Again(error) => error,
            Failure::OutOfRange(error) | Failure::Unknown(error) => error,
        }
    }
}

impl From<Client> for Failure {
    fn from(error: Client) -> Failure {
        let status = match error {
            Client::GRpcStatus(status) => status,
            Client::InvalidArgs(_) | Client::InvalidUri(_) => {
                return Failure::Certain(EngineError::Refused(error.to_string()));
            }
            Client::TransportError(error) => {
                return Failure::Unknown(EngineError::Unreachable(chain(&error)));
            }
            _ => return Failure::Unknown(EngineError::Unreachable(error.to_string())),
        };
        let mut text = status.message().to_owned();
        if let Some(source) = std::error::Error::source(&status) {
            text = format!("{text}: {}", chain(source));
        }
        match status.code() as i32 {
            INVALID_ARGUMENT if text.contains("revision of auth store is old") => {
                Failure::Again(EngineError::Unreachable(text))
            }
            PERMISSION_DENIED | UNAUTHENTICATED => Failure::Certain(EngineError::Denied(text)),
            // A connection that broke is also reported as "cancelled" or "unknown".
            INVALID_ARGUMENT | FAILED_PRECONDITION | NOT_FOUND => {
                Failure::Certain(EngineError::Refused(text))
            }
            RESOURCE_EXHAUSTED if text.contains("etcdserver") => {
                Failure::Certain(EngineError::Refused(text))
            }
            OUT_OF_RANGE => Failure::OutOfRange(EngineError::Refused(text)),
            _ => Failure::Unknown(EngineError::Unreachable(text)),
        }
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}
