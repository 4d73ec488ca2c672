use std::collections::BTreeSet;

use super::entry::{Entry, Inbox, Wanted};
use super::{Agent, Effect};
use crate::data::{Key, Kind, Mode, Name, Phase, Record, Value, WantState};
use crate::engine::{Read, Revision, Versioned};

impl Agent {
    pub(super) fn listed(&mut self, reads: Vec<Read>) -> Vec<Effect> {
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

    pub(super) fn read(&mut self, reads: Vec<Read>) -> Vec<Effect> {
        let ids: BTreeSet<Name> = reads
            .iter()
            .filter_map(|read| read.key.id().cloned())
            .collect();
        // All of them are known before anything follows: one of them may be the successor of another.
        let alive: Vec<Effect> = reads.into_iter().flat_map(|read| self.take(read)).collect();
        let settled = ids.iter().flat_map(|id| self.settle(id));
        alive.into_iter().chain(settled).collect()
    }

    pub(super) fn take(&mut self, read: Read) -> Vec<Effect> {
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
                        mode: Mode::Reserve,
                        replaces: None,
                        successor: None,
                    };
                    self.entry(id).wanted(wanted);
                }
                _ => self.absent(id, Kind::Grant),
            },
            (Key::Policy(id), value) => match value {
                Some(Value::Record(record)) => {
                    if let Some(wanted) = self.policy(id, *record, revision.unwrap_or(Revision(0)))
                    {
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
        if !self.entries.contains_key(id)
            && !record.concerns(&self.identity.node, &self.identity.labels)
        {
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
            mode: record.mode,
            replaces: record.replaces,
            successor: record.successor,
        })
    }

    fn entry(&mut self, id: &Name) -> &mut Entry {
        let entry = self.entries.entry(id.clone()).or_default();
        if self.listed {
            entry.listed();
        }
        entry
    }

    /// Whether this version of a policy, or its absence, has not been read yet.
    pub(super) fn is_news(&self, read: &Read) -> bool {
        let Key::Policy(id) = &read.key else {
            return false;
        };
        let entry = self.entries.get(id);
        entry.is_some_and(|entry| match (&entry.inbox, &read.found) {
            (Inbox::Is(wanted), Some(found)) => wanted.revision < found.revision,
            (Inbox::Is(wanted), None) => wanted.kind == Kind::Policy,
            (Inbox::Absent | Inbox::Unread, _) => false,
        })
    }

    /// The inbox entry of this kind is absent. That says nothing about one of the other kind.
    fn absent(&mut self, id: &Name, kind: Kind) {
        if let Some(entry) = self.entries.get_mut(id)
            && matches!(&entry.inbox, Inbox::Is(wanted) if wanted.kind == kind)
        {
            entry.inbox = Inbox::Absent;
        }
    }
}

/// The end of a policy, or its absence, which only the watch tells of together with what belongs to it.
pub(super) fn is_end_of_policy(read: &Read) -> bool {
    let Key::Policy(_) = &read.key else {
        return false;
    };
    match read.found.as_ref().map(|found| &found.value) {
        Some(Value::Record(record)) => record.phase == Phase::Ending,
        Some(_) => false,
        None => true,
    }
}
