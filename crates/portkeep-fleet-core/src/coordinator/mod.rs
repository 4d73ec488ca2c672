//! One reservation, from its start to the decision and to its end. Any coordinator can finish or abort what
//! another one began, as all that matters is on the engine: each write expects the record as it was read.
//!
//! The driver reads what [`Effect::Look`] names, watches those keys from then on, and reports changes.

mod input;
mod member;
mod steps;

use std::collections::BTreeMap;

pub use input::{Answer, Effect, Input};

use crate::data::{Key, Kind, Members, Name, Phase, Record, Value};
use crate::engine::{Outcome, Read, Revision, Versioned, Write};
use crate::points::Point;
use crate::rules::Rules;
use member::Member;

/// What a coordinator is to reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Goal {
    /// Commit it, or leave nothing.
    Reserve,
    /// Finish what another began: end what is being prepared, and complete what ends.
    Finish,
    /// End it, however far it is.
    Release,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Slot {
    Unread,
    Absent,
    At(Revision, Record),
}

/// The coordinator of one reservation.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Coordinator {
    kind: Kind,
    id: Name,
    goal: Goal,
    rules: Rules,
    /// What is to be made, and pieces of names that are to be written before.
    draft: Option<Record>,
    unlisted: Vec<Vec<Name>>,
    record: Slot,
    members: BTreeMap<Name, Member>,
    /// All members' names are known.
    named: bool,
    /// All members' keys have been read.
    looked: bool,
    /// All nodes that offered to hold a policy that ends are known.
    scanned: bool,
    /// A vote says that it cannot be.
    refused: bool,
    over: bool,
    doing: Option<(Point, Vec<Write>)>,
    /// All members have released it, and what is left is being deleted.
    forgetting: bool,
    /// Why it ends, as was known when it was decided.
    reason: Option<Answer>,
    looking: bool,
    /// The record was to be made, and whether it was is not known.
    uncertain: bool,
    answer: Option<Answer>,
    at_once: usize,
}

/// As many members as fit into one transaction: two changes each, and the guard; etcd takes 128.
pub const MEMBERS_AT_ONCE: usize = 60;

/// A policy has at most this many keys of names: they are deleted in one transaction with the record.
const MAX_PIECES: u32 = 100;

/// As many names as fit into one key of names, at 64 bytes and the quotes, in 256 KiB.
pub const NAMES_AT_ONCE: usize = 3900;

impl Coordinator {
    /// Makes a reservation on these nodes. `id` must be random, and must never have been used.
    pub fn reserve(kind: Kind, id: Name, draft: Record, members: &[Name], rules: Rules) -> Self {
        let mut new = Coordinator::new(kind, id, Goal::Reserve, rules);
        let known = members.iter().map(|node| (node.clone(), Member::absent()));
        new.members = known.collect();
        let names: Vec<Name> = new.members.keys().cloned().collect();
        let members = match kind {
            Kind::Grant => Members::Listed(names),
            Kind::Policy => {
                new.unlisted = names.chunks(NAMES_AT_ONCE).map(<[Name]>::to_vec).collect();
                Members::Pieces(u32::try_from(new.unlisted.len()).unwrap_or(u32::MAX))
            }
        };
        new.draft = Some(Record {
            members,
            phase: Phase::Preparing,
            ..draft
        });
        new.record = Slot::Absent;
        new.named = true;
        new
    }

    /// Finishes what another coordinator began, or ends it.
    pub fn resume(kind: Kind, id: Name, goal: Goal, rules: Rules) -> Self {
        Coordinator::new(kind, id, goal, rules)
    }

    fn new(kind: Kind, id: Name, goal: Goal, rules: Rules) -> Self {
        Coordinator {
            kind,
            id,
            goal,
            rules,
            draft: None,
            unlisted: Vec::new(),
            record: Slot::Unread,
            members: BTreeMap::new(),
            named: false,
            looked: false,
            scanned: false,
            refused: false,
            over: false,
            doing: None,
            forgetting: false,
            reason: None,
            looking: false,
            uncertain: false,
            answer: None,
            at_once: MEMBERS_AT_ONCE,
        }
    }

    /// Takes an input, and says what to do.
    pub fn step(&mut self, input: Input) -> Vec<Effect> {
        match input {
            Input::Start => {}
            Input::Looked(reads) => {
                self.looking = false;
                reads.into_iter().for_each(|read| self.take(read));
            }
            Input::Changed(reads) => reads.into_iter().for_each(|read| self.take(read)),
            Input::Scanned(nodes) => {
                self.looking = false;
                self.scanned = true;
                for node in nodes {
                    self.looked &= self.members.contains_key(&node);
                    self.members.entry(node).or_insert_with(Member::unread);
                }
            }
            Input::Applied(outcome) => self.applied(outcome),
            Input::Deadline => self.over = true,
            Input::Release => self.goal = Goal::Release,
        }
        self.settle()
    }

    /// What was answered.
    pub fn answer(&self) -> Option<&Answer> {
        self.answer.as_ref()
    }

    /// Asks this many members in one transaction, instead of [`MEMBERS_AT_ONCE`].
    #[must_use]
    pub fn at_once(mut self, members: usize) -> Self {
        self.at_once = members.clamp(1, MEMBERS_AT_ONCE);
        self
    }

    /// Which reservation it is.
    pub fn id(&self) -> &Name {
        &self.id
    }

    /// Whether the coordinator is to hear of changes of a key.
    pub fn watches(&self, key: &Key) -> bool {
        match key.id() {
            Some(id) => *id == self.id,
            None => key
                .node()
                .is_some_and(|node| self.members.contains_key(node)),
        }
    }

    fn member_keys(&self, node: &Name) -> Vec<Key> {
        let mut keys = vec![
            Key::Have(node.clone(), self.id.clone()),
            Key::Alive(node.clone()),
        ];
        if self.kind == Kind::Grant {
            keys.push(Key::Want(node.clone(), self.id.clone()));
        }
        keys
    }

    fn take(&mut self, read: Read) {
        let Read { key, found } = read;
        match &key {
            Key::Policy(id) | Key::Grant(id) if *id == self.id && key == self.kind.record(id) => {
                self.take_record(found);
            }
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
            Key::Alive(node) | Key::Want(node, _) | Key::Have(node, _) => {
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

    fn applied(&mut self, outcome: Outcome) {
        let Some((point, writes)) = self.doing.take() else {
            return;
        };
        match outcome {
            Outcome::Done(written) => {
                self.landed(writes, &written);
                match point {
                    Point::List => {
                        self.unlisted.pop();
                    }
                    Point::Prepare => self.draft = None,
                    _ => {}
                }
            }
            Outcome::Differs(reads) => {
                reads.into_iter().for_each(|read| self.take(read));
                if point == Point::Prepare && matches!(self.record, Slot::At(..)) {
                    self.claim();
                }
                if point == Point::List {
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
    fn claim(&mut self) {
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
