//! The steward's socket: one line of JSON each way. The steward's end of a held grant's connection tells it that
//! the holder is there.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use portkeep_fleet_core::data::{Name, Phase};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::wish::Wish;
use crate::agent::run_directory;
use crate::error::{Error, Kind, Result};
use crate::operator::report::InTheWay;
use crate::socket::{read, write};

/// A list of 100,000 nodes fits.
pub const MAX_LINE: u64 = 8 * 1024 * 1024;

/// How long a command waits beyond what the nodes have.
const WAIT: Duration = Duration::from_secs(60);

/// Names another place than the machine's.
const VARIABLE: &str = "PORTKEEP_STEWARD_SOCKET";

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "kebab-case")]
pub enum Request {
    /// Ports on nodes.
    Acquire(Wish),
    /// The caller still holds this grant, as when the steward was started anew.
    Hold {
        /// Its ID.
        id: Name,
    },
    /// The caller's grants; all, for root.
    List,
    /// Give it back.
    Release {
        /// Its ID.
        id: Name,
        /// How long to wait until all nodes have released it, in seconds.
        wait: u32,
    },
}

/// A grant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Granted {
    /// Its ID.
    pub id: Name,
    /// The ports.
    pub ports: Vec<String>,
    /// On these nodes.
    pub nodes: Vec<Name>,
    /// How often numbers were chosen.
    pub tries: u32,
}

/// A grant in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// Its ID.
    pub grant: Name,
    /// Whose it is.
    pub owner: String,
    /// `preparing`, `committed` or `ending`
    pub phase: Phase,
    /// The ports.
    pub ports: Vec<String>,
    /// On these nodes.
    pub nodes: Vec<Name>,
    /// It ends with its holder, as that of `run` does.
    pub held: bool,
    /// Nodes that have lost it, as by a reboot.
    pub lost: Vec<Name>,
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "kebab-case")]
pub enum Answer {
    /// It is held on all of the nodes.
    Granted(Granted),
    /// It is on none.
    Refused {
        /// Why.
        message: String,
        /// What to do then.
        hint: Option<String>,
        /// Who is in the way where.
        in_the_way: Vec<InTheWay>,
    },
    /// Etcd cannot be asked, or its answer was lost.
    Undecided {
        /// What is known.
        message: String,
    },
    /// The request was not one.
    Usage {
        /// Why.
        message: String,
    },
    /// The hold is noted.
    Held,
    /// Grants.
    Grants {
        /// By their IDs.
        grants: Vec<Listed>,
    },
    /// It ends.
    Released {
        /// Nodes have still to hear of it.
        left: bool,
    },
}

impl Answer {
    /// A refusal without nodes.
    pub fn refused(message: impl Into<String>) -> Answer {
        Answer::Refused {
            message: message.into(),
            hint: None,
            in_the_way: Vec::new(),
        }
    }
}

impl From<Error> for Answer {
    fn from(error: Error) -> Answer {
        let message = error.message().to_owned();
        match error.kind() {
            Kind::Undecided => Answer::Undecided { message },
            Kind::Usage => Answer::Usage { message },
            _ => Answer::Refused {
                message,
                hint: error.hints().first().cloned(),
                in_the_way: Vec::new(),
            },
        }
    }
}

/// Where the steward listens.
pub fn path() -> PathBuf {
    match std::env::var_os(VARIABLE) {
        Some(path) => path.into(),
        None => run_directory().join("steward.sock"),
    }
}

/// A connection to the steward.
#[derive(Debug)]
pub struct Client(BufReader<UnixStream>);

impl Client {
    /// Connects.
    ///
    /// # Errors
    ///
    /// If no steward listens on this machine.
    pub async fn connect() -> Result<Client> {
        let path = path();
        let stream = UnixStream::connect(&path).await.map_err(|error| {
            let text = format!("no steward answers at {}: {error}", path.display());
            Error::undecided(text)
                .with_hint("`portkeep fleet steward` serves the users of a machine")
        })?;
        Ok(Client(BufReader::new(stream)))
    }

    /// Asks.
    ///
    /// # Errors
    ///
    /// If the steward ends meanwhile.
    pub async fn ask(&mut self, request: &Request) -> Result<Answer> {
        let more = match request {
            Request::Acquire(Wish { wait, .. }) | Request::Release { wait, .. } => *wait,
            Request::Hold { .. } | Request::List => 0,
        };
        // Each try has its time.
        let wait = WAIT + Duration::from_secs(more.into()) * super::acquire::TRIES;
        let exchange = async {
            write(self.0.get_mut(), request).await?;
            read::<Answer>(&mut self.0, MAX_LINE).await
        };
        let answered = timeout(wait, exchange).await;
        let answered = answered.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        answered.map_err(|error| {
            Error::undecided(format!("the steward has not answered: {error}"))
                .with_hint("what it had begun, it or another one finishes")
        })
    }

    /// Returns when the steward is gone.
    pub async fn gone(&mut self) {
        let mut byte = [0];
        let _ = self.0.read(&mut byte).await;
    }
}
