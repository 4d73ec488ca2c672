//! What processes of this machine ask the agent, over a Unix socket: one line of JSON each way.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use portkeep_fleet_core::data::Name;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::timeout;

use super::machine::run_directory;
use crate::error::{Error, Result};
use crate::jobs::admit::{Caller, admit};
use crate::socket;

/// The longest question.
const MAX_QUESTION: u64 = 64 * 1024;

/// The longest answer that a command reads.
const MAX_ANSWER: u64 = 16 * 1024 * 1024;

/// So many are answered at a time; others wait.
const AT_A_TIME: usize = 32;

/// Who says nothing for so long is left.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long a command waits for its answer.
const WAIT: Duration = Duration::from_secs(60);

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "kebab-case")]
pub enum Request {
    /// How everything stands.
    Status,
    /// What `portkeep why` says about a port.
    Why {
        /// The port, as `10042/udp`.
        port: String,
    },
    /// Let the caller's cgroup bind at the ports of a grant, if it is the caller's.
    Attach {
        /// Its ID.
        id: Name,
    },
    /// Release what the engine does not know. Only root.
    Forget {
        /// Its ID.
        id: Name,
    },
    /// Hold a policy again that was lost or in conflict. Only root.
    Repair {
        /// Its ID.
        id: Name,
    },
    /// Obey the engine that answers, although it is not the one that was obeyed. Only root.
    AdoptEngine,
}

impl Request {
    /// Whether only root may ask it.
    pub fn is_privileged(&self) -> bool {
        match self {
            Request::Status | Request::Why { .. } | Request::Attach { .. } => false,
            Request::Forget { .. } | Request::Repair { .. } | Request::AdoptEngine => true,
        }
    }
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// Why it cannot be done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What was asked for.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub document: Value,
}

impl Answer {
    /// An answer.
    pub fn done(document: Value) -> Answer {
        Answer {
            error: None,
            document,
        }
    }

    /// A refusal.
    pub fn refused(why: impl Into<String>) -> Answer {
        Answer {
            error: Some(why.into()),
            document: Value::Null,
        }
    }
}

/// Who asks, as the kernel says.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    /// The user.
    pub uid: u32,
    /// The process, if it is in a PID namespace that the agent sees.
    pub pid: Option<i32>,
}

/// A question, and where its answer goes.
#[derive(Debug)]
pub struct Asked {
    /// Who asks.
    pub peer: Peer,
    /// What.
    pub request: Request,
    /// Where the answer goes.
    pub answer: oneshot::Sender<Answer>,
}

/// Where the socket is.
pub fn path() -> PathBuf {
    run_directory().join("fleet.sock")
}

/// Passes on what is asked, for ever.
pub async fn serve(listener: UnixListener, questions: mpsc::Sender<Asked>) {
    let places = Arc::new(Semaphore::new(AT_A_TIME));
    loop {
        let Ok(place) = places.clone().acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, _)) => {
                let questions = questions.clone();
                tokio::spawn(async move {
                    let _place = place;
                    let _ = timeout(WAIT, answer(stream, questions)).await;
                });
            }
            // Out of descriptors.
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

async fn answer(stream: UnixStream, questions: mpsc::Sender<Asked>) -> io::Result<()> {
    let caller = Caller::of(&stream)?;
    let credentials = stream.peer_cred()?;
    let peer = Peer {
        uid: credentials.uid(),
        pid: credentials.pid(),
    };
    let (read, mut write) = stream.into_split();
    let mut line = Vec::new();
    let mut reader = BufReader::new(read.take(MAX_QUESTION));
    let read = timeout(PATIENCE, reader.read_until(b'\n', &mut line)).await;
    read.map_err(|_| io::ErrorKind::TimedOut)??;
    let answer = match serde_json::from_slice::<Request>(&line) {
        Err(error) => Answer::refused(format!("not a question: {error}")),
        Ok(request) if request.is_privileged() && peer.uid != 0 => {
            Answer::refused("only root may ask that")
        }
        // By this machine alone: it goes on while the engine is down.
        Ok(Request::Attach { id }) => attach(id, caller).await,
        Ok(request) => {
            let (answer, answered) = oneshot::channel();
            let asked = Asked {
                peer,
                request,
                answer,
            };
            let gone = || Answer::refused("the agent is ending");
            match questions.send(asked).await {
                Ok(()) => answered.await.unwrap_or_else(|_| gone()),
                Err(_) => gone(),
            }
        }
    };
    timeout(PATIENCE, socket::write(&mut write, &answer))
        .await
        .map_err(|_| io::ErrorKind::TimedOut)?
}

async fn attach(id: Name, caller: Caller) -> Answer {
    let admitted = tokio::task::spawn_blocking(move || {
        let keeper = super::machine::installation().keeper();
        admit(&keeper, &id, &caller)
    });
    match admitted.await {
        Ok(Ok(ports)) => Answer::done(Value::from(ports)),
        Ok(Err(error)) => Answer::refused(error.message()),
        Err(error) => Answer::refused(error.to_string()),
    }
}

/// Asks the agent of this machine.
///
/// # Errors
///
/// If there is none, or it refuses.
pub async fn ask(request: &Request) -> Result<Value> {
    let path = path();
    let exchange = async {
        let mut stream = UnixStream::connect(&path).await?;
        socket::write(&mut stream, request).await?;
        let mut answer = Vec::new();
        stream.take(MAX_ANSWER).read_to_end(&mut answer).await?;
        Ok::<_, io::Error>(serde_json::from_slice::<Answer>(&answer)?)
    };
    let hint = "`systemctl status portkeep-fleet` says more";
    let answered = timeout(WAIT, exchange).await;
    let answered = answered.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
    let answer = answered.map_err(|error| {
        let text = format!("the agent does not answer at {}: {error}", path.display());
        Error::undecided(text).with_hint(hint)
    })?;
    match answer.error {
        Some(error) => Err(Error::refused(error)),
        None => Ok(answer.document),
    }
}
