//! Nodes with the production agent, a real etcd and a simulated kernel: for what is decided, not for what is
//! enforced.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use portkeep_fleet::engine::{Engine, Event, Lease, Range};
use portkeep_fleet::testing::Etcd;
use portkeep_fleet_core::agent::{Agent, Effect, Identity, Input, Note, Refusal};
use portkeep_fleet_core::data::{Ask, Boot, Key, Mode, Name, Obstacle, Ports, Reply, Value};
use portkeep_fleet_core::engine::{Outcome, Read, Transaction};
use portkeep_fleet_core::rules::Rules;
use tokio::sync::watch;

pub fn name(text: &str) -> Name {
    text.parse().expect("a name")
}

/// What a machine has, whether its agent runs or not.
#[derive(Debug, Default)]
pub struct Machine {
    pub kernel: BTreeMap<Name, Note>,
    pub store: BTreeMap<Name, Note>,
    /// A stranger's socket, and its port.
    pub stranger: Option<Ports>,
    /// What root takes out by force.
    pub taken_out: Option<Name>,
    /// The agent reads and does not act.
    pub is_stuck: bool,
    /// What a policy had before and after a change was open for an instant.
    pub opened: bool,
}

#[derive(Debug)]
pub struct Node {
    pub name: Name,
    pub machine: Arc<Mutex<Machine>>,
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

impl Node {
    /// Starts the agent of a machine, with this label.
    pub fn start(etcd: &Etcd, node: &str, role: &str, machine: Arc<Mutex<Machine>>) -> Node {
        let engine = Engine::new(etcd.config(node));
        let (stop, stopped) = watch::channel(false);
        let labels = BTreeMap::from([("role".to_owned(), role.to_owned())]);
        let running = Running {
            engine,
            node: name(node),
            machine: machine.clone(),
            labels,
        };
        let thread = std::thread::spawn(move || crate::run(running.run(stopped)));
        Node {
            name: name(node),
            machine,
            stop,
            thread: Some(thread),
        }
    }

    /// Ends its agent, as a stop of its service does.
    pub fn stop(&mut self) {
        let _ = self.stop.send(true);
        if let Some(thread) = self.thread.take() {
            thread.join().expect("an agent");
        }
    }

    /// The ports that its kernel keeps.
    pub fn ports(&self) -> Vec<String> {
        let machine = self.machine.lock().expect("a machine");
        let mut ports: Vec<String> = Vec::new();
        for note in machine.kernel.values() {
            ports.extend(Vec::<String>::from(note.ports.clone()));
        }
        ports
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.stop();
    }
}

struct Running {
    engine: Engine,
    node: Name,
    machine: Arc<Mutex<Machine>>,
    labels: BTreeMap<String, String>,
}

impl Running {
    async fn run(self, mut stopped: watch::Receiver<bool>) {
        let boot = Boot {
            machine: name(&format!("m-{}", self.node)),
            boot: name("b"),
        };
        let lease = self.engine.lease(5).await.expect("a lease");
        let mut events = self.engine.watch(vec![
            Range::Prefix(format!("n/{}/", self.node)),
            Range::Prefix("policy/".to_owned()),
        ]);
        let identity = Identity {
            node: self.node.clone(),
            boot: boot.clone(),
            labels: self.labels.clone(),
        };
        let (notes, kernel) = {
            let machine = self.machine.lock().expect("a machine");
            let kernel: BTreeSet<Name> = machine.kernel.keys().cloned().collect();
            (machine.store.clone(), kernel)
        };
        let mut agent = Agent::new(identity, Rules::default(), notes, &kernel);
        let mut effects: VecDeque<Effect> = VecDeque::new();
        let mut connected = false;
        loop {
            let stuck = self.machine.lock().expect("a machine").is_stuck;
            while let Some(effect) = effects.pop_front() {
                if stuck {
                    continue;
                }
                let input = self.carry_out(effect, &lease).await;
                effects.extend(agent.step(input));
            }
            let event = tokio::select! {
                event = events.next() => event,
                _ = stopped.changed() => break,
            };
            let reads = match event {
                Event::Listed { listing, .. } => {
                    effects.extend(agent.step(Input::Listed(listing.reads)));
                    if !connected {
                        connected = true;
                        effects.extend(agent.step(Input::Connected));
                    }
                    continue;
                }
                Event::Read(read) => vec![read],
                _ => continue,
            };
            for read in &reads {
                if let Some(input) = self.answer(read, &boot).await {
                    effects.extend(agent.step(input));
                }
            }
            let gone = self.machine.lock().expect("a machine").taken_out.take();
            effects.extend(gone.into_iter().flat_map(|id| agent.step(Input::Gone(id))));
            effects.extend(agent.step(Input::Changed(reads)));
        }
        lease.revoke().await;
    }

    async fn carry_out(&self, effect: Effect, lease: &Lease) -> Input {
        match effect {
            Effect::Announce(it) => {
                let outcome = self.engine.transact_with(&it, lease).await;
                Input::Announced(outcome.unwrap_or(Outcome::Unknown))
            }
            Effect::Vote(id, it) => {
                let outcome = self.engine.transact(&it).await;
                Input::Voted(id, outcome.unwrap_or(Outcome::Unknown))
            }
            Effect::Look(key) => {
                let reads = self.engine.read(&[key]).await.expect("a read");
                Input::Read(reads.into_iter().next().expect("a key"))
            }
            Effect::Note(id, note) => {
                self.machine().store.insert(id.clone(), note);
                Input::Noted(id, true)
            }
            Effect::Create(id, note) => {
                let result = self.create(&id, &note);
                Input::Created(id, result)
            }
            Effect::Delete(id) => {
                let mut machine = self.machine();
                let successor = machine.store.iter();
                let successor = successor.filter(|(_, note)| note.replaces.as_ref() == Some(&id));
                let is_closed = successor
                    .clone()
                    .all(|(id, _)| machine.kernel.contains_key(id));
                machine.opened |= !is_closed;
                machine.kernel.remove(&id);
                Input::Deleted(id)
            }
            Effect::Erase(id) => {
                self.machine().store.remove(&id);
                Input::Erased(id)
            }
        }
    }

    fn machine(&self) -> std::sync::MutexGuard<'_, Machine> {
        self.machine.lock().expect("a machine")
    }

    fn create(&self, id: &Name, note: &Note) -> Result<(), Refusal> {
        let obstacles = self.obstacles(Some(id), note);
        if !obstacles.is_empty() {
            return Err(Refusal { obstacles });
        }
        self.machine().kernel.insert(id.clone(), note.clone());
        Ok(())
    }

    fn obstacles(&self, id: Option<&Name>, note: &Note) -> Vec<Obstacle> {
        let machine = self.machine();
        let mut obstacles = Vec::new();
        if let Some(ports) = machine
            .stranger
            .as_ref()
            .filter(|it| note.mode == Mode::Reserve && it.overlaps(&note.ports))
        {
            obstacles.push(Obstacle {
                port: ports.to_string(),
                what: "socket of coturn (pid 812, user turnserver)".to_owned(),
            });
        }
        for (other, theirs) in &machine.kernel {
            let share = note.replaces.as_ref() == Some(other) || id == Some(other);
            if !share && theirs.ports.overlaps(&note.ports) {
                obstacles.push(Obstacle {
                    port: theirs.ports.to_string(),
                    what: format!("reserved for {other}"),
                });
            }
        }
        obstacles
    }

    async fn answer(&self, read: &Read, boot: &Boot) -> Option<Input> {
        let Key::Question(node, id) = &read.key else {
            return None;
        };
        let reply_key = Key::Reply(node.clone(), id.clone());
        let mut input = None;
        let mut transaction = Transaction::default();
        match read.found.as_ref().map(|found| &found.value) {
            Some(Value::Question(question)) => {
                let mut reply = Reply::new(boot.clone(), &[]);
                match &question.ask {
                    Ask::Try {
                        ports,
                        consumers,
                        mode,
                        replaces,
                    } => {
                        let note = Note {
                            lasting: true,
                            ports: ports.clone(),
                            consumers: consumers.clone(),
                            generation: 1,
                            mode: *mode,
                            replaces: replaces.clone(),
                        };
                        reply = Reply::new(boot.clone(), &self.obstacles(None, &note));
                    }
                    Ask::Why { port } => {
                        let explanation = format!("{port} is free here");
                        reply.document = Some(serde_json::json!({"explanation": explanation}));
                    }
                    Ask::Repair { id } => input = Some(Input::Retry(id.clone())),
                    Ask::Forget { id } => input = Some(Input::Forget(id.clone())),
                }
                let question = read.found.as_ref().map(|found| found.revision);
                transaction = transaction
                    .expect(read.key.clone(), question)
                    .put(reply_key, Value::Reply(Box::new(reply)));
            }
            _ => transaction = transaction.delete(reply_key),
        }
        let _ = self.engine.transact(&transaction).await;
        input
    }
}
