use super::member::Member;
use super::{Answer, Coordinator, Slot};
use crate::data::{Key, Kind, Members, Name, Record, Value};
use crate::engine::{Outcome, Read, Versioned};
use crate::points::Point;

impl Coordinator {
    /// All keys that it wants to hear of, as far as it knows them.
    pub fn keys(&self) -> Vec<Key> {
        let own = self.kind.record(&self.id);
        let replaced = [self.replaces(), self.earlier()].into_iter().flatten();
        let replaced = replaced.map(|old| self.kind.record(old));
        let members = self.members.keys();
        let members = members.flat_map(|node| self.member_keys(node));
        std::iter::once(own)
            .chain(replaced)
            .chain(members)
            .collect()
    }

    /// Whether the coordinator is to hear of changes of a key.
    pub fn watches(&self, key: &Key) -> bool {
        match key.id() {
            Some(id) => {
                *id == self.id
                    || [self.replaces(), self.earlier()]
                        .into_iter()
                        .flatten()
                        .any(|old| *key == self.kind.record(old))
            }
            None => key
                .node()
                .is_some_and(|node| self.members.contains_key(node)),
        }
    }

    pub(super) fn replaces(&self) -> Option<&Name> {
        match (&self.record, &self.draft) {
            (Slot::At(_, record), _) => record.replaces.as_ref(),
            (_, draft) => draft.as_ref()?.replaces.as_ref(),
        }
    }

    /// What the record that this one is to take the place of has taken the place of.
    pub(super) fn earlier(&self) -> Option<&Name> {
        match &self.replaced {
            Slot::At(_, replaced) => replaced.replaces.as_ref(),
            Slot::Unread | Slot::Absent => None,
        }
    }

    pub(super) fn member_keys(&self, node: &Name) -> Vec<Key> {
        let mut keys = vec![
            Key::Have(node.clone(), self.id.clone()),
            Key::Alive(node.clone()),
            Key::Removed(node.clone()),
        ];
        if self.kind == Kind::Grant {
            keys.push(Key::Want(node.clone(), self.id.clone()));
        }
        keys
    }

    pub(super) fn take(&mut self, read: Read) {
        let Read { key, found } = read;
        match &key {
            Key::Policy(id) | Key::Grant(id) if *id == self.id && key == self.kind.record(id) => {
                self.take_record(found);
            }
            Key::Policy(id) if self.replaces() == Some(id) => {
                self.replaced = match found {
                    Some(Versioned {
                        revision,
                        value: Value::Record(record),
                    }) => Slot::At(revision, record),
                    _ => Slot::Absent,
                };
            }
            Key::Policy(id) if self.earlier() == Some(id) => self.earlier = Some(found.is_some()),
            Key::Members(id, _) if *id == self.id => {
                if let Some(Versioned {
                    value: Value::Members(names),
                    ..
                }) = found
                {
                    for name in names {
                        self.members.entry(name).or_insert_with(Member::unread);
                    }
                }
            }
            Key::Alive(node) | Key::Removed(node) | Key::Want(node, _) | Key::Have(node, _) => {
                if key.id().is_none_or(|id| *id == self.id)
                    && let Some(member) = self.members.get_mut(node)
                {
                    member.take(&key, found);
                    self.refused |= member.refuses();
                }
            }
            _ => {}
        }
    }

    fn take_record(&mut self, found: Option<Versioned>) {
        let Some(Versioned {
            revision,
            value: Value::Record(record),
        }) = found
        else {
            self.record = Slot::Absent;
            return;
        };
        if let Slot::At(known, _) = &self.record
            && *known > revision
        {
            return;
        }
        if let Members::Listed(names) = &record.members {
            for name in names {
                if !self.members.contains_key(name) {
                    self.members.insert(name.clone(), Member::unread());
                    self.looked = false;
                }
            }
            self.named = true;
        }
        self.record = Slot::At(revision, record);
    }

    pub(super) fn applied(&mut self, outcome: Outcome) {
        let Some((point, writes)) = self.doing.take() else {
            return;
        };
        match outcome {
            Outcome::Done(written) => {
                self.landed(writes, &written);
                match point {
                    Point::List => {
                        self.unlisted.pop();
                        for (key, revision) in &written {
                            if let Key::Members(_, piece) = key {
                                self.listed.push((*piece, *revision));
                            }
                        }
                    }
                    Point::Prepare => self.draft = None,
                    _ => {}
                }
            }
            Outcome::Differs(reads) => {
                reads.into_iter().for_each(|read| self.take(read));
                if point == Point::Prepare && matches!(self.record, Slot::At(..)) {
                    self.claim();
                } else if matches!(point, Point::List | Point::Prepare) {
                    self.draft = None;
                    self.answer = Some(Answer::Taken);
                }
            }
            Outcome::Unknown => {
                self.uncertain |= point == Point::Prepare;
                self.record = Slot::Unread;
                self.looked = false;
                if point == Point::List {
                    self.answer = Some(Answer::Unknown);
                }
            }
        }
    }

    /// The record is there already: by this coordinator's hand, if an answer of it was lost.
    pub(super) fn claim(&mut self) {
        let Some(draft) = self.draft.take() else {
            return;
        };
        let same = |found: &Record| found.with_phase(draft.phase) == draft;
        if !(self.uncertain && matches!(&self.record, Slot::At(_, found) if same(found))) {
            self.answer = Some(Answer::Taken);
        }
        self.uncertain = false;
    }
}
