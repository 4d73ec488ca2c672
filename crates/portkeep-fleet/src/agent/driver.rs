use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use portkeep_fleet_core::agent::{Agent, Identity, Input, Note, Standing};
use portkeep_fleet_core::data::{Boot, Key, Name, Record, Report, Spec, Value};
use portkeep_fleet_core::engine::Read;
use portkeep_fleet_core::rules::Rules;
use tokio::net::UnixListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};

use super::changes::Changes;
use super::known::Memory;
use super::local::{self, Asked};
use super::machine::{run_directory, state_directory};
use super::store::{Done, Limits, Store, Successors, Work};
use crate::config::Config;
use crate::engine::{Engine, Event, Lease, Listing, Range, Watch};
use crate::output::say;

/// How often what could not be done on this machine is tried again.
const AGAIN: Duration = Duration::from_secs(5);

/// What tasks tell the driver.
#[derive(Debug)]
pub(super) enum Message {
    /// What came of a request to the engine, for the agent of that number.
    Input(u64, Input),
    /// What came of an announcement, with the lease.
    Announced(u64, Input, Option<Lease>),
    /// What came of work on this machine.
    Local(Vec<Done>, Vec<Work>),
    /// Work that failed is to be tried again, for the agent of that number.
    Retry(u64, Vec<Work>),
}

/// Drives the agent of one node.
#[derive(Debug)]
pub(super) struct Driver {
    pub(super) config: Config,
    pub(super) engine: Engine,
    pub(super) node: Name,
    pub(super) boot: Boot,
    pub(super) store: Store,
    pub(super) agent: Option<Agent>,
    /// Which agent it is: what is under way for an earlier one is not this one's.
    pub(super) number: u64,
    pub(super) spec: Option<Spec>,
    pub(super) memory: Memory,
    /// Why the engine is not obeyed.
    pub(super) changed: Option<String>,
    /// Why the engine does not answer.
    pub(super) lost: Option<String>,
    pub(super) unreadable: BTreeMap<Key, String>,
    /// The policies, as they were read.
    pub(super) policies: BTreeMap<Name, Record>,
    /// What this node has voted `held` for, in this boot or an earlier one, when the agent began.
    voted: BTreeSet<Name>,
    /// What the agent has made the kernel hold.
    pub(super) notes: BTreeMap<Name, Note>,
    pub(super) lease: Option<Lease>,
    queue: Vec<Work>,
    working: bool,
    /// A new agent is to be made when nothing is under way on this machine.
    renew: bool,
    /// The engine is to be listed again, for the agent that there is.
    relist: bool,
    said_other: bool,
    pub(super) messages: mpsc::UnboundedSender<Message>,
    inbox: Option<mpsc::UnboundedReceiver<Message>>,
}

impl Driver {
    pub(super) fn new(config: Config, node: Name, boot: Boot) -> Driver {
        let (messages, inbox) = mpsc::unbounded_channel();
        let limits = Limits {
            max_ports: config.max_ports,
            never: config.never.clone(),
        };
        Driver {
            engine: Engine::new(config.clone()),
            store: Store {
                fleet: config.name.to_string(),
                limits,
            },
            config,
            node,
            boot,
            agent: None,
            number: 0,
            spec: None,
            memory: Memory::open(state_directory().join("fleet-engine.json")),
            changed: None,
            lost: None,
            unreadable: BTreeMap::new(),
            policies: BTreeMap::new(),
            voted: BTreeSet::new(),
            notes: BTreeMap::new(),
            lease: None,
            queue: Vec::new(),
            working: false,
            renew: false,
            relist: false,
            said_other: false,
            messages,
            inbox: Some(inbox),
        }
    }

    /// Runs until SIGTERM or SIGINT.
    pub(super) async fn run(&mut self, listener: UnixListener) {
        let (Ok(mut end), Ok(mut interrupt), Some(mut inbox)) = (
            signal(SignalKind::terminate()),
            signal(SignalKind::interrupt()),
            self.inbox.take(),
        ) else {
            return;
        };
        let (sender, mut questions) = mpsc::channel::<Asked>(16);
        tokio::spawn(local::serve(listener, sender));
        let (state, run) = (state_directory(), run_directory());
        let mut changes = Changes::of(&[&state, &run]);
        let mut resync = interval(Duration::from_secs(self.config.timing.resync.max(1).into()));
        resync.set_missed_tick_behavior(MissedTickBehavior::Delay);
        resync.tick().await;
        let mut watch = self.watch();
        say(&format!(
            "agent of node {} in fleet {}",
            self.node, self.config.name
        ));
        loop {
            tokio::select! {
                event = watch.next() => self.event(event),
                Some(message) = inbox.recv() => self.message(message),
                Some(asked) = questions.recv() => self.asked(asked),
                () = changes.next() => self.look(),
                _ = resync.tick() => self.relist = true,
                _ = end.recv() => break,
                _ = interrupt.recv() => break,
            }
            if self.renew && !self.working && self.queue.is_empty() {
                // The listing that the new watch begins with makes the new agent.
                self.renew = false;
                self.agent = None;
                watch = self.watch();
            } else if std::mem::take(&mut self.relist) {
                self.look();
                watch = self.watch();
            }
        }
        // Whoever asks sees at once that nobody acts for the node; its kernel goes on.
        self.memory.save();
        if let Some(lease) = self.lease.take() {
            lease.revoke().await;
        }
    }

    fn watch(&self) -> Watch {
        self.engine.watch(vec![
            Range::Prefix(format!("n/{}/", self.node)),
            Range::Prefix("policy/".to_owned()),
        ])
    }

    /// Makes a new agent from what is on this machine.
    pub(super) fn renew(&mut self) {
        self.renew = true;
    }

    fn event(&mut self, event: Event) {
        match event {
            Event::Listed { listing, cluster } => self.listed(listing, cluster),
            Event::Read(read) => self.read(read),
            Event::Unreadable(unreadable) => {
                say(&format!(
                    "{} is not understood: {}",
                    unreadable.key, unreadable.why
                ));
                self.unreadable.insert(unreadable.key, unreadable.why);
            }
            Event::Lost(error) => {
                say(&format!("{error}; what is reserved stays reserved"));
                self.lost = Some(error.to_string());
            }
            Event::Resumed => self.found(),
        }
    }

    fn found(&mut self) {
        if self.lost.take().is_some() {
            say("etcd answers again");
        }
    }

    fn listed(&mut self, listing: Listing, cluster: u64) {
        self.found();
        if let Some(why) = self.memory.differs(cluster, listing.revision) {
            if self.changed.as_ref() != Some(&why) {
                say(&format!(
                    "{why}. Nothing is released and nothing new is held. Hint: `portkeep fleet adopt-engine`, if that is meant"
                ));
            }
            self.changed = Some(why);
            self.agent = None;
            return;
        }
        self.changed = None;
        self.memory.heard(cluster, listing.revision);
        let unreadable = listing.unreadable.into_iter();
        self.unreadable = unreadable.map(|it| (it.key, it.why)).collect();
        self.policies.clear();
        self.spec = None;
        for read in &listing.reads {
            self.remember(read);
        }
        match &self.agent {
            // A listing of its own, after compaction.
            Some(_) => self.step(Input::Listed(listing.reads)),
            None if self.working => self.renew = true,
            None => self.begin(listing.reads),
        }
    }

    fn begin(&mut self, reads: Vec<Read>) {
        let Some(labels) = self.admitted() else {
            return;
        };
        let (mut notes, mut enforced) = match self.store.entries() {
            Ok(entries) => entries,
            Err(error) => {
                say(&format!("cannot read the store: {error}"));
                return self.again(Vec::new());
            }
        };
        self.voted = voted(&reads);
        self.add_successors(&mut notes, &mut enforced);
        let identity = Identity {
            node: self.node.clone(),
            boot: self.boot.clone(),
            labels,
        };
        self.number += 1;
        self.notes.clone_from(&notes);
        self.agent = Some(Agent::new(identity, Rules::default(), notes, &enforced));
        self.step(Input::Connected);
        self.step(Input::Listed(reads));
    }

    /// The node's labels, if the operator has added it and this machine may be it.
    fn admitted(&self) -> Option<BTreeMap<String, String>> {
        let spec = self.spec.as_ref()?;
        let other = spec
            .machine
            .as_ref()
            .is_some_and(|machine| *machine != self.boot.machine);
        (!other).then(|| spec.labels.clone())
    }

    fn read(&mut self, read: Read) {
        if let Some(cluster) = self.engine.cluster().filter(|_| self.changed.is_none()) {
            self.memory.heard(cluster, self.engine.revision());
        }
        let labels = self.admitted();
        self.remember(&read);
        if matches!(read.key, Key::Spec(_)) && self.admitted() != labels {
            return self.renew();
        }
        if let Key::Question(_, id) = &read.key {
            return self.question(id.clone(), read.found);
        }
        if self.agent.is_some() {
            self.step(Input::Changed(vec![read]));
        }
    }

    fn remember(&mut self, read: &Read) {
        self.unreadable.remove(&read.key);
        let value = read.found.as_ref().map(|found| &found.value);
        match (&read.key, value) {
            (Key::Spec(_), Some(Value::Spec(spec))) => self.spec = Some(spec.clone()),
            (Key::Spec(_), _) => self.spec = None,
            (Key::Policy(id), Some(Value::Record(record))) => {
                self.policies.insert(id.clone(), (**record).clone());
            }
            (Key::Policy(id), _) => {
                self.policies.remove(id);
            }
            _ => {}
        }
    }

    /// Tells the agent something, and does what it says.
    pub(super) fn step(&mut self, input: Input) {
        let Some(agent) = &mut self.agent else { return };
        let effects = agent.step(input);
        let other = agent.other_machine().map(|boot| boot.machine.clone());
        if let Some(machine) = &other
            && !self.said_other
        {
            say(&format!(
                "another machine, {machine}, acts for node {}; this one does nothing",
                self.node
            ));
        }
        self.said_other = other.is_some();
        for effect in effects {
            self.carry_out(effect);
        }
    }

    pub(super) fn enqueue(&mut self, work: Work) {
        self.queue.push(work);
        self.work();
    }

    /// Works on this machine, in a thread of its own; one at a time.
    fn work(&mut self) {
        if self.working || self.queue.is_empty() {
            return;
        }
        if self.agent.is_none() {
            // Without an agent nobody knows what takes the place of what.
            self.queue.retain(|work| !matches!(work, Work::Delete(_)));
        }
        self.working = true;
        let works = std::mem::take(&mut self.queue);
        let (store, messages) = (self.store.clone(), self.messages.clone());
        let agent = self.agent.as_ref();
        let pairs = works.iter().filter_map(|work| match work {
            Work::Delete(id) => {
                let (successor, note) = agent?.successor(id)?;
                Some((id.clone(), (successor.clone(), note.clone())))
            }
            _ => None,
        });
        let successors: Successors = pairs.collect();
        tokio::task::spawn_blocking(move || {
            let (done, again) = store.perform(works, &successors);
            let _ = messages.send(Message::Local(done, again));
        });
    }

    /// A policy that takes another's place, and has no port of its own yet, is held by what the other has.
    fn add_successors(&self, notes: &mut BTreeMap<Name, Note>, enforced: &mut BTreeSet<Name>) {
        for (id, record) in &self.policies {
            let Some(old) = record.replaces.as_ref().filter(|_| !notes.contains_key(id)) else {
                continue;
            };
            let covers = |known: &Note| {
                known.mode == record.mode && record.ports.without(&known.ports).is_empty()
            };
            if enforced.contains(old)
                && notes.get(old).is_some_and(covers)
                && self.voted.contains(id)
            {
                notes.insert(id.clone(), of_record(record));
                enforced.insert(id.clone());
            }
        }
    }

    fn message(&mut self, message: Message) {
        match message {
            Message::Input(number, input) if number == self.number => self.step(input),
            Message::Announced(number, input, lease) => {
                self.lease = lease;
                if number == self.number {
                    self.step(input);
                }
            }
            Message::Input(..) => {}
            Message::Local(done, again) => {
                self.working = false;
                if done.iter().any(Done::changes_what_is_held) {
                    self.remember_notes();
                }
                for done in done {
                    self.done(done);
                }
                if !again.is_empty() {
                    self.again(again);
                }
                self.look();
                self.work();
            }
            Message::Retry(_, works) if works.is_empty() => self.renew(),
            Message::Retry(number, works) if number == self.number => {
                self.queue.extend(works);
                self.work();
            }
            // A later agent has work of its own.
            Message::Retry(..) => {}
        }
    }

    /// Has work that failed tried again later; without any, the whole start.
    fn again(&self, works: Vec<Work>) {
        let (messages, number) = (self.messages.clone(), self.number);
        tokio::spawn(async move {
            tokio::time::sleep(AGAIN).await;
            let _ = messages.send(Message::Retry(number, works));
        });
    }

    fn done(&mut self, done: Done) {
        match done {
            Done::Input(input) => self.step(input),
            Done::NotNoted(id, obstacles) => self.not_noted(&id, obstacles),
        }
    }

    /// The store's file has changed: by this agent, or by somebody who takes out what the fleet holds.
    pub(super) fn look(&mut self) {
        if self.working || !self.queue.is_empty() {
            return;
        }
        let Some(agent) = &self.agent else { return };
        let Ok((_, enforced)) = self.store.entries() else {
            return;
        };
        let held = agent
            .standing()
            .filter(|(_, standing)| matches!(standing, Standing::Held | Standing::Orphan));
        let gone: BTreeSet<Name> = held
            .map(|(id, _)| id.clone())
            .filter(|id| self.notes.contains_key(id) && !enforced.contains(id))
            .collect();
        // What takes the place of one, and has no port beyond that one's, has gone with it.
        let with = self.policies.iter().filter(|(id, record)| {
            let replaces = record.replaces.as_ref();
            replaces.is_some_and(|old| gone.contains(old)) && !self.notes.contains_key(*id)
        });
        let with: Vec<Name> = with.map(|(id, _)| id.clone()).collect();
        for id in gone.into_iter().chain(with) {
            say(&format!("{id} was taken out of this machine by force"));
            self.notes.remove(&id);
            self.step(Input::Gone(id));
        }
    }

    pub(super) fn spawn_input(&self, task: impl Future<Output = Input> + Send + 'static) {
        let (messages, number) = (self.messages.clone(), self.number);
        tokio::spawn(async move {
            let _ = messages.send(Message::Input(number, task.await));
        });
    }
}

fn of_record(record: &Record) -> Note {
    Note {
        lasting: true,
        ports: record.ports.clone(),
        consumers: record.consumers.clone(),
        generation: record.generation,
        mode: record.mode,
        replaces: record.replaces.clone(),
    }
}

fn voted(reads: &[Read]) -> BTreeSet<Name> {
    let voted = reads
        .iter()
        .filter_map(|read| match (&read.key, &read.found) {
            (Key::Have(_, id), Some(found)) => match &found.value {
                Value::Have(have) if have.report == Report::Held => Some(id.clone()),
                _ => None,
            },
            _ => None,
        });
    voted.collect()
}
