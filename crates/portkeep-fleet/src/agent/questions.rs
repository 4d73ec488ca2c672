//! What is asked of this node: by an operator through the engine, and by processes of this machine.

use std::path::PathBuf;
use std::time::Duration;

use portkeep::PortRange;
use portkeep_fleet_core::agent::{Input, Note, Standing};
use portkeep_fleet_core::data::{Ask, Key, Name, Reply, Value};
use portkeep_fleet_core::engine::{Transaction, Versioned};
use tokio::process::Command;
use tokio::time::{sleep, timeout};

use super::driver::Driver;
use super::local::{Answer, Asked, Request};
use super::store::Store;
use crate::engine::Engine;

/// How long `portkeep why` may take.
const WAIT: Duration = Duration::from_secs(20);

impl Driver {
    /// A question of an operator, or its end.
    pub(super) fn question(&mut self, id: Name, found: Option<Versioned>) {
        let Some(Value::Question(question)) = found.map(|found| found.value) else {
            let reply = Transaction::default().delete(Key::Reply(self.node.clone(), id));
            let engine = self.engine.clone();
            tokio::spawn(async move {
                let _ = engine.transact(&reply).await;
            });
            return;
        };
        let acting = self
            .agent
            .as_ref()
            .is_some_and(|agent| agent.other_machine().is_none());
        if !acting {
            return;
        }
        let mut reply = Reply::new(self.boot.clone(), &[]);
        let refused = match &question.ask {
            Ask::Repair { id } => self.repair(id).err(),
            Ask::Forget { id } => self.forget(id).err(),
            Ask::Try { .. } | Ask::Why { .. } => None,
        };
        reply.error = refused;
        let question_key = Key::Question(self.node.clone(), id.clone());
        let key = Key::Reply(self.node.clone(), id);
        let (engine, store) = (self.engine.clone(), self.store.clone());
        tokio::spawn(async move {
            match question.ask {
                Ask::Try {
                    ports,
                    consumers,
                    mode,
                    replaces,
                } => {
                    let note = Note {
                        lasting: true,
                        ports,
                        consumers,
                        generation: 1,
                        mode,
                        replaces,
                    };
                    try_on(store, note, &mut reply).await;
                }
                Ask::Why { port } => match why(&port).await {
                    Ok(document) => reply.document = Some(document),
                    Err(error) => reply.error = Some(error),
                },
                Ask::Repair { .. } | Ask::Forget { .. } => {}
            }
            send(&engine, &question_key, &key, reply).await;
        });
    }

    /// A question of a process of this machine.
    pub(super) fn asked(&mut self, asked: Asked) {
        let done = |done: Result<(), String>| match done {
            Ok(()) => Answer::done(serde_json::Value::Null),
            Err(error) => Answer::refused(error),
        };
        let answer = match asked.request {
            Request::Status => match serde_json::to_value(self.status()) {
                Ok(document) => Answer::done(document),
                Err(error) => Answer::refused(error.to_string()),
            },
            Request::Why { port } => {
                tokio::spawn(async move {
                    let answer = match why(&port).await {
                        Ok(document) => Answer::done(document),
                        Err(error) => Answer::refused(error),
                    };
                    let _ = asked.answer.send(answer);
                });
                return;
            }
            // Answered where it was asked.
            Request::Attach { .. } => Answer::refused("not a question for the engine's driver"),
            Request::Forget { id } => done(self.forget(&id)),
            Request::Repair { id } => done(self.repair(&id)),
            Request::AdoptEngine => {
                self.memory.forget();
                self.renew();
                done(Ok(()))
            }
        };
        let _ = asked.answer.send(answer);
    }

    fn standing(&self, id: &Name) -> Result<Standing, String> {
        let agent = self
            .agent
            .as_ref()
            .ok_or("the agent does not act for this node now")?;
        let mut standing = agent.standing();
        let found = standing.find(|(of, _)| *of == id);
        found
            .map(|(_, standing)| standing)
            .ok_or_else(|| format!("this node has no {id}"))
    }

    /// Only what the engine does not know.
    fn forget(&mut self, id: &Name) -> Result<(), String> {
        match self.standing(id)? {
            Standing::Orphan => {
                self.step(Input::Forget(id.clone()));
                Ok(())
            }
            _ => Err(format!(
                "the engine knows {id}; `portkeep fleet unreserve` ends it"
            )),
        }
    }

    fn repair(&mut self, id: &Name) -> Result<(), String> {
        match self.standing(id)? {
            Standing::Not(_) => {
                self.step(Input::Retry(id.clone()));
                Ok(())
            }
            Standing::Held => Ok(()),
            Standing::Pending | Standing::Released | Standing::Orphan => {
                Err(format!("there is nothing to repair at {id}"))
            }
        }
    }
}

async fn try_on(store: Store, note: Note, reply: &mut Reply) {
    let found = tokio::task::spawn_blocking(move || store.in_the_way(&note)).await;
    match found {
        Ok(Ok(obstacles)) => {
            let boot = reply.boot.clone();
            *reply = Reply::new(boot, &obstacles);
        }
        Ok(Err(error)) => reply.error = Some(error.to_string()),
        Err(error) => reply.error = Some(error.to_string()),
    }
}

/// Only while the question is there: whoever asks and goes takes it along.
async fn send(engine: &Engine, question: &Key, key: &Key, reply: Reply) {
    for _ in 0..5 {
        let Ok(reads) = engine.read(std::slice::from_ref(question)).await else {
            sleep(Duration::from_millis(500)).await;
            continue;
        };
        let Some(found) = reads.into_iter().next().and_then(|read| read.found) else {
            return;
        };
        let transaction = Transaction::default()
            .expect(question.clone(), Some(found.revision))
            .put(key.clone(), Value::Reply(Box::new(reply.clone())));
        if engine.transact(&transaction).await.is_ok() {
            return;
        }
        sleep(Duration::from_millis(500)).await;
    }
}

/// What `portkeep why` says.
async fn why(port: &str) -> Result<serde_json::Value, String> {
    let range: PortRange = port
        .parse()
        .map_err(|_| format!("{port}: expected a port, as 10042/udp"))?;
    if range.start() != range.end() {
        return Err(format!("{port}: expected one port"));
    }
    let mut command = Command::new(portkeep());
    // The parsed form: nothing of a stranger's text is an argument.
    command
        .args(["why", "--json", &range.to_string()])
        .kill_on_drop(true);
    let output = timeout(WAIT, command.output()).await;
    let output = output.map_err(|_| "`portkeep why` takes too long".to_owned())?;
    let output = output.map_err(|error| format!("cannot run `portkeep why`: {error}"))?;
    serde_json::from_slice(&output.stdout)
        .map_err(|_| String::from_utf8_lossy(&output.stderr).trim().to_owned())
}

/// The command, which is installed beside this one.
fn portkeep() -> PathBuf {
    let beside = std::env::current_exe().ok();
    let beside = beside.and_then(|exe| Some(exe.parent()?.join("portkeep")));
    beside
        .filter(|path| path.exists())
        .unwrap_or_else(|| "portkeep".into())
}
