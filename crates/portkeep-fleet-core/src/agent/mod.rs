//! One node: makes the kernel and the store agree with what is read of the engine, and votes.
//!
//! The driver starts an agent with what the store and the kernel have, announces it, lists the inbox, and
//! reports each change. Doubles and gaps do no harm, nor does an old list: the agent releases only what it
//! has read an `end` for. At most one effect per reservation is under way.

mod entry;
mod input;
mod vote;

use std::collections::{BTreeMap, BTreeSet};

pub use entry::{Note, Standing};
pub use input::{Effect, Input, Refusal};

use crate::data::{Alive, Boot, FORMAT, Key, Kind, Name, Phase, Record, Unknown, Value, WantState};
use crate::engine::{Outcome, Read, Revision, Transaction, Versioned};
use crate::rules::{Rule, Rules};
use entry::{Entry, Inbox, Wanted};

/// Which node an agent is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    /// The name, which its certificate has.
    pub node: Name,
    /// This boot of this machine.
    pub boot: Boot,
    /// The labels that selectors match.
    pub labels: BTreeMap<String, String>,
}

/// Whether this agent acts for its node.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Acting {
    NotYet,
    Asking,
    Yes(Revision),
    /// Another machine has the name. This one does nothing until the other is gone.
    Other(Boot),
}

/// The agent of a node.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Agent {
    identity: Identity,
    rules: Rules,
    acting: Acting,
    /// The inbox has been listed: what is not known since was absent.
    listed: bool,
    entries: BTreeMap<Name, Entry>,
}

impl Agent {
    /// An agent that starts: with the notes of the store and the reservations that the kernel has.
    pub fn new(
        identity: Identity,
        rules: Rules,
        notes: impl IntoIterator<Item = (Name, Note)>,
        kernel: &BTreeSet<Name>,
    ) -> Agent {
        let noted = notes.into_iter();
        let entries = noted.map(|(id, note)| {
            let enforced = kernel.contains(&id);
            (id, Entry::found(note, enforced))
        });
        Agent {
            entries: entries.collect(),
            identity,
            rules,
            acting: Acting::NotYet,
            listed: false,
        }
    }

    /// Takes an input, and says what to do.
    pub fn step(&mut self, input: Input) -> Vec<Effect> {
        match input {
            Input::Connected => match self.acting {
                Acting::NotYet => self.announce(None),
                _ => Vec::new(),
            },
            Input::Announced(outcome) => self.announced(outcome),
            Input::Listed(reads) => self.listed(reads),
            Input::Read(read) => self.read(read),
            Input::Noted(id, written) => self.update(&id, |entry| entry.noted(written)),
            Input::Created(id, result) => self.update(&id, |entry| entry.created(result)),
            Input::Deleted(id) => self.update(&id, Entry::deleted),
            Input::Erased(id) => self.update(&id, Entry::erased),
            Input::Voted(id, outcome) => self.voted(&id, outcome),
            Input::Gone(id) => self.update(&id, |entry| entry.enforced = false),
            Input::Retry(id) => self.update(&id, Entry::retry),
            Input::Forget(id) => self.update(&id, Entry::forget),
            Input::Silence if self.rules.hold(Rule::NoTimeouts) => Vec::new(),
            Input::Silence => {
                self.entries
                    .values_mut()
                    .for_each(|entry| entry.silent = true);
                self.settle_all()
            }
        }
    }

    /// How each reservation stands on this node.
    pub fn standing(&self) -> impl Iterator<Item = (&Name, Standing)> {
        let entries = self.entries.iter();
        entries.map(|(id, entry)| (id, entry.standing(&self.identity.boot)))
    }

    /// The other machine that acts for this node's name, if there is one.
    pub fn other_machine(&self) -> Option<&Boot> {
        match &self.acting {
            Acting::Other(boot) => Some(boot),
            _ => None,
        }
    }

    fn announce(&mut self, revision: Option<Revision>) -> Vec<Effect> {
        self.acting = Acting::Asking;
        let key = Key::Alive(self.identity.node.clone());
        let alive = Value::Alive(Alive {
            format: FORMAT,
            boot: self.identity.boot.clone(),
            unknown: Unknown::new(),
        });
        let transaction = Transaction::default().expect(key.clone(), revision);
        vec![Effect::Announce(transaction.put(key, alive))]
    }

    fn announced(&mut self, outcome: Outcome) -> Vec<Effect> {
        match outcome {
            Outcome::Done(written) => {
                if let Some((_, revision)) = written.first() {
                    self.acting = Acting::Yes(*revision);
                }
                self.settle_all()
            }
            Outcome::Differs(reads) => {
                self.acting = Acting::NotYet;
                reads.into_iter().flat_map(|read| self.read(read)).collect()
            }
            Outcome::Unknown => self.announce(None),
        }
    }

    fn alive_read(&mut self, found: Option<Versioned>) -> Vec<Effect> {
        let (revision, boot) = match found {
            None if self.acting == Acting::Asking => return Vec::new(),
            None => return self.announce(None),
            Some(Versioned {
                revision,
                value: Value::Alive(alive),
            }) => (revision, alive.boot),
            Some(_) => return Vec::new(),
        };
        if self.acting == Acting::Yes(revision) || self.acting == Acting::Asking {
            return Vec::new();
        }
        if boot.machine == self.identity.boot.machine {
            // An earlier run, whose votes under way must not count from now on.
            return self.announce(Some(revision));
        }
        self.acting = Acting::Other(boot);
        Vec::new()
    }

    fn listed(&mut self, reads: Vec<Read>) -> Vec<Effect> {
        for entry in self.entries.values_mut() {
            entry.inbox = Inbox::Absent;
            entry.reported = None;
        }
        let alive: Vec<Effect> = reads.into_iter().flat_map(|read| self.take(read)).collect();
        self.listed = true;
        for entry in self.entries.values_mut() {
            entry.listed();
        }
        alive.into_iter().chain(self.settle_all()).collect()
    }

    fn read(&mut self, read: Read) -> Vec<Effect> {
        let id = read.key.id().cloned();
        let effects = self.take(read);
        match id {
            Some(id) => self.settle(&id),
            None => effects,
        }
    }

    fn take(&mut self, read: Read) -> Vec<Effect> {
        let Read { key, found } = read;
        let revision = found.as_ref().map(|found| found.revision);
        match (&key, found.map(|found| found.value)) {
            (Key::Alive(node), value) if *node == self.identity.node => {
                let found = revision.zip(value);
                let found = found.map(|(revision, value)| Versioned { revision, value });
                return self.alive_read(found);
            }
            (Key::Want(node, id), value) if *node == self.identity.node => match value {
                Some(Value::Want(want)) => {
                    let wanted = Wanted {
                        kind: Kind::Grant,
                        revision: revision.unwrap_or(Revision(0)),
                        ends: want.state == WantState::End,
                        committed: false,
                        ports: want.ports,
                        consumers: want.consumers,
                        generation: want.generation,
                    };
                    self.entry(id).wanted(wanted);
                }
                _ => self.absent(id, Kind::Grant),
            },
            (Key::Policy(id), value) => match value {
                Some(Value::Record(record)) => {
                    if let Some(wanted) = self.policy(id, record, revision.unwrap_or(Revision(0))) {
                        self.entry(id).wanted(wanted);
                    }
                }
                _ => self.absent(id, Kind::Policy),
            },
            (Key::Have(node, id), value) if *node == self.identity.node => match value {
                Some(Value::Have(have)) => {
                    let reported = revision.map(|revision| (revision, have.report, have.boot));
                    self.entry(id).reported = reported;
                }
                _ => {
                    if let Some(entry) = self.entries.get_mut(id) {
                        entry.reported = None;
                    }
                }
            },
            _ => {}
        }
        Vec::new()
    }

    fn policy(&self, id: &Name, record: Record, revision: Revision) -> Option<Wanted> {
        // A node whose labels have changed since still has to read the end.
        if !self.entries.contains_key(id) && !record.selector.matches(&self.identity.labels) {
            return None;
        }
        Some(Wanted {
            kind: Kind::Policy,
            revision,
            ends: record.phase == Phase::Ending,
            committed: record.phase == Phase::Committed,
            ports: record.ports,
            consumers: record.consumers,
            generation: record.generation,
        })
    }

    fn entry(&mut self, id: &Name) -> &mut Entry {
        let entry = self.entries.entry(id.clone()).or_default();
        if self.listed {
            entry.listed();
        }
        entry
    }

    /// The inbox entry of this kind is absent. That says nothing about one of the other kind.
    fn absent(&mut self, id: &Name, kind: Kind) {
        if let Some(entry) = self.entries.get_mut(id)
            && matches!(&entry.inbox, Inbox::Is(wanted) if wanted.kind == kind)
        {
            entry.inbox = Inbox::Absent;
        }
    }

    fn voted(&mut self, id: &Name, outcome: Outcome) -> Vec<Effect> {
        let reads = match outcome {
            Outcome::Done(written) => {
                if let Some(entry) = self.entries.get_mut(id) {
                    let revision = written.first().map(|(_, revision)| *revision);
                    entry.vote_landed(revision, &self.identity.boot);
                }
                Vec::new()
            }
            Outcome::Differs(reads) => {
                if let Some(entry) = self.entries.get_mut(id) {
                    entry.vote_failed();
                }
                reads
            }
            Outcome::Unknown => {
                if let Some(entry) = self.entries.get_mut(id) {
                    entry.vote_lost();
                }
                let key = Key::Have(self.identity.node.clone(), id.clone());
                return vec![Effect::Look(key)];
            }
        };
        let alive: Vec<Effect> = reads.into_iter().flat_map(|read| self.take(read)).collect();
        alive.into_iter().chain(self.settle(id)).collect()
    }

    fn update(&mut self, id: &Name, change: impl FnOnce(&mut Entry)) -> Vec<Effect> {
        if let Some(entry) = self.entries.get_mut(id) {
            change(entry);
        }
        self.settle(id)
    }

    fn settle_all(&mut self) -> Vec<Effect> {
        let ids: Vec<Name> = self.entries.keys().cloned().collect();
        ids.iter().flat_map(|id| self.settle(id)).collect()
    }

    /// The next step for one reservation, if none is under way.
    fn settle(&mut self, id: &Name) -> Vec<Effect> {
        let acting = match self.acting {
            Acting::Yes(revision) => Some(revision),
            _ => None,
        };
        let Some(entry) = self.entries.get_mut(id) else {
            return Vec::new();
        };
        let Some(acting) = acting else {
            return Vec::new();
        };
        let Some(next) = entry.next(self.rules, &self.identity.boot) else {
            if entry.is_nothing() {
                self.entries.remove(id);
            }
            return Vec::new();
        };
        let effect = entry.start(next, id, &self.identity, acting, self.rules);
        effect.into_iter().collect()
    }
}
