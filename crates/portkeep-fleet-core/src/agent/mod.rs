//! One node: makes the kernel and the store agree with what is read of the engine, and votes.
//!
//! The driver starts an agent with what the store and the kernel have, announces it, lists the inbox, and
//! reports each change. Doubles and gaps do no harm, nor does an old list: the agent releases only what it
//! has read an `end` for. At most one effect per reservation is under way.

mod acting;
mod entry;
mod inbox;
mod input;
mod next;
mod vote;

use std::collections::{BTreeMap, BTreeSet};

pub use entry::{Note, Standing};
pub use input::{Effect, Input, Refusal};

use crate::data::{Boot, Key, Name};
use crate::engine::Outcome;
use crate::rules::{Rule, Rules};
use acting::Acting;
use entry::Entry;
use inbox::is_end_of_policy;

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
            Input::Read(read) => self.read(vec![read]),
            Input::Changed(reads) => self.read(reads),
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
                // The watch reads the end of a policy, and with it what has taken its place or is lost, too.
                let (ends, reads): (Vec<_>, Vec<_>) = reads.into_iter().partition(is_end_of_policy);
                if ends.iter().any(|read| self.is_news(read)) {
                    return reads.into_iter().flat_map(|read| self.take(read)).collect();
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

    /// The next step for one reservation, and for the one whose place it takes.
    fn settle(&mut self, id: &Name) -> Vec<Effect> {
        let old = self.entries.get(id).and_then(Entry::replaces).cloned();
        let mut effects = self.proceed(id);
        if let Some(old) = old {
            effects.extend(self.proceed(&old));
        }
        effects
    }

    /// What has taken the place of this one and is held here. When this one is deleted, the ports that both have
    /// pass to that one. Its end names it; where the engine has lost that before it was read, it is the only one that
    /// was to take its place.
    pub fn successor(&self, id: &Name) -> Option<(&Name, &Note)> {
        let entry = self.entries.get(id)?;
        if let Some(successor) = &entry.successor {
            let note = self.entries.get(successor)?.held()?;
            return Some((successor, note));
        }
        let mut held = self.held_in_place_of(id);
        held.next()
            .filter(|_| entry.is_lost() && held.next().is_none())
    }

    /// Whether this one has to stay, as what has taken its place is not held here yet, or not known.
    fn awaits_successor(&self, id: &Name) -> bool {
        let Some(entry) = self.entries.get(id).filter(|entry| entry.enforced) else {
            return false;
        };
        let waits = match &entry.successor {
            Some(successor) => self
                .entries
                .get(successor)
                .is_some_and(Entry::is_to_be_held),
            None => entry.is_lost() && self.held_in_place_of(id).count() > 1,
        };
        self.rules.hold(Rule::SuccessorFirst) && waits
    }

    fn held_in_place_of(&self, id: &Name) -> impl Iterator<Item = (&Name, &Note)> {
        let entries = self.entries.iter();
        let entries = entries.filter(move |(_, entry)| entry.replaces() == Some(id));
        entries.filter_map(|(successor, entry)| Some((successor, entry.held()?)))
    }

    fn proceed(&mut self, id: &Name) -> Vec<Effect> {
        if self.awaits_successor(id) {
            return Vec::new();
        }
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
