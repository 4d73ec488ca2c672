//! One reservation, from its start to the decision and to its end. Any coordinator can finish or abort what
//! another one began, as all that matters is on the engine: each write expects the record as it was read.
//!
//! The driver reads what [`Effect::Look`] names, watches those keys from then on, and reports changes.

mod input;
mod member;
mod reads;
mod steps;
mod writes;

use std::collections::BTreeMap;

pub use input::{Answer, Effect, Input};

use crate::data::{Kind, Members, Name, Phase, Record};
use crate::engine::{Revision, Write};
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
    At(Revision, Box<Record>),
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
    /// The record that this one takes the place of.
    replaced: Slot,
    /// Whether the record is there that that one has taken the place of, if it has been read.
    earlier: Option<bool>,
    /// The versions of the pieces of names that were written.
    listed: Vec<(u32, Revision)>,
    members: BTreeMap<Name, Member>,
    /// All members' names are known.
    named: bool,
    /// All members' keys have been read.
    looked: bool,
    /// All nodes that offered to hold a policy that ends are known.
    scanned: bool,
    /// A vote says that it cannot be.
    refused: bool,
    /// What it was to take the place of has been changed or ended by another, or is not complete itself.
    outdated: bool,
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

/// As many members as fit into one transaction: two changes each, the guard, and the record that ends in the
/// same one; etcd takes 128.
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
            replaced: Slot::Unread,
            earlier: None,
            listed: Vec::new(),
            members: BTreeMap::new(),
            named: false,
            looked: false,
            scanned: false,
            refused: false,
            outdated: false,
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
}
