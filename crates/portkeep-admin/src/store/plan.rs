//! What is to become of the store where files declare what it should have.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::io;
use std::path::Path;

use portkeep::{Entry, PortRange};

use crate::error::{Error, ErrorKind};
use crate::store::declared::{Declaration, Declared};
use crate::store::document::{Document, Record};
use crate::store::entries::Lines;
use crate::store::keeper::Kind;
use crate::store::kernel::{Live, is_persistent, overlap, without};
use crate::store::obstacles::{entry_words, words};
use crate::store::ranges::Ranges;
use crate::store::scope::Scope;

/// An entry that becomes another one, or begins, or ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// What the store has.
    pub before: Option<(Kind, Record)>,
    /// What is declared.
    pub after: Option<(Kind, Record)>,
    /// The line of it in its file.
    pub line: Option<usize>,
}

/// What is to be done.
#[derive(Debug)]
pub struct Plan {
    /// What the store will have.
    pub document: Document,
    pub changes: Vec<Change>,
    /// How many of the declared entries others had made before, just so.
    pub of_others: usize,
}

/// What is in the way, a line each.
#[derive(Debug, Default)]
pub struct Conflicts(Vec<String>);

impl Conflicts {
    pub fn refuse(self) -> Result<(), Error> {
        if self.0.is_empty() {
            return Ok(());
        }
        let message = format!(
            "declared ports overlap others; nothing is changed:\n  {}",
            self.0.join("\n  ")
        );
        Err(Error::new(ErrorKind::Overlap, message)
            .with_hint("change or delete one of each two; `portkeep ls` shows all reservations"))
    }
}

/// What in one place cannot be reserved twice. A block of every namespace is no use beside one of home,
/// where all commands run.
fn meet(one: &Scope, other: &Scope) -> bool {
    let everywhere = |one: &Scope, other: &Scope| *one == Scope::Every && other.is_home();
    one == other || everywhere(one, other) || everywhere(other, one)
}

impl Plan {
    /// Compares. `text` and `file` are those of the store, for naming its lines.
    pub fn new(
        document: &Document,
        declared: &Declared,
        text: &str,
        file: &Path,
    ) -> Result<Plan, Error> {
        let mut conflicts = Conflicts::default();
        refuse_overlaps(&declared.entries, &mut conflicts);
        let lines = Lines::of(text);
        let declares = Declares::new(&declared.entries);
        let (mut ours, mut kept) = (Vec::new(), Document::default());
        let mut satisfied = HashSet::new();
        for (kind, index, record) in numbered(document) {
            if is_ours(declared, &declares, record) {
                ours.push((kind, record));
                continue;
            }
            for declaration in declares.overlapping(record) {
                let wanted = &declared.entries[declaration];
                let same = wanted.kind == kind
                    && wanted.record.is_at(record)
                    && wanted.record.has_consumers_of(record);
                if same {
                    satisfied.insert(declaration);
                    continue;
                }
                let line = lines.line(kind, index);
                conflicts.0.push(format!(
                    "{} ({}, {}) overlaps {}:{line} ({}, {})",
                    wanted.place(),
                    wanted.record.ports,
                    words(wanted.kind, &wanted.record),
                    file.display(),
                    record.ports,
                    words(kind, record),
                ));
            }
            kept.records_mut(kind).push(record.clone());
        }
        conflicts.refuse()?;
        let wanted: Vec<&Declaration> = declared
            .entries
            .iter()
            .enumerate()
            .filter(|(index, _)| !satisfied.contains(index))
            .map(|(_, declaration)| declaration)
            .collect();
        let changes = changes(&ours, &wanted);
        let mut planned = Document {
            notes: document.notes.clone(),
            ..kept
        };
        for declaration in &wanted {
            let records = planned.records_mut(declaration.kind);
            records.push(declaration.record.clone());
        }
        // What stays, stays where it is: the store does not change for it.
        let unchanged = changes.is_empty();
        Ok(Plan {
            document: if unchanged { document.clone() } else { planned },
            changes,
            of_others: satisfied.len(),
        })
    }

    /// The ports of changed entries, before and after, in one place.
    pub fn ports(&self, scope: &Scope) -> impl Iterator<Item = PortRange> {
        self.changes
            .iter()
            .flat_map(|change| change.before.iter().chain(&change.after))
            .filter(move |(_, record)| record.netns == *scope)
            .map(|(_, record)| record.ports)
    }

    /// What is to be there, or there otherwise, in one place.
    pub fn changed<'p>(&'p self, scope: &'p Scope) -> impl Iterator<Item = (Kind, &'p Record)> {
        let after = self
            .changes
            .iter()
            .filter_map(|change| change.after.as_ref());
        after
            .filter(move |(_, record)| record.netns == *scope)
            .map(|(kind, record)| (*kind, record))
    }

    /// What the kernel part has where declared ports are to be, and the store has not.
    pub fn find_in_the_way(
        &self,
        old: &Document,
        scope: &Scope,
        live: &Live,
        cookie: u64,
    ) -> Conflicts {
        let stored: Ranges = old.ranges_of(scope).collect();
        let is_known = |entry: &Entry| {
            entry.netns_cookie == cookie
                && is_persistent(entry)
                && without(entry.range, stored.overlapping(entry.range)).is_empty()
        };
        let mut conflicts = Conflicts::default();
        for change in &self.changes {
            let Some((kind, record)) = &change.after else {
                continue;
            };
            if record.netns != *scope {
                continue;
            }
            for entry in live.overlapping(record.ports) {
                let itself = (entry.netns_cookie, entry.range) == (cookie, record.ports);
                if (itself && is_persistent(entry)) || is_known(entry) {
                    continue;
                }
                let file = record.source.as_deref().unwrap_or(Path::new(""));
                conflicts.0.push(format!(
                    "{}:{} ({}, {}) overlaps {}, which is {}",
                    file.display(),
                    change.line.unwrap_or(1),
                    record.ports,
                    words(*kind, record),
                    entry.range,
                    entry_words(entry),
                ));
            }
        }
        conflicts
    }
}

/// Made by an earlier apply of the same files; or of a file that is gone, whose ports another one
/// declares now, as after it was renamed.
fn is_ours(declared: &Declared, declares: &Declares<'_>, record: &Record) -> bool {
    let Some(source) = &record.source else {
        return false;
    };
    let moved = || !declares.overlapping(record).is_empty() && is_gone(source);
    declared.has_source(source) || moved()
}

/// For sure: one that cannot be looked at now, as on a file server that does not answer, is not gone.
fn is_gone(source: &Path) -> bool {
    match fs::symlink_metadata(source) {
        Ok(_) => false,
        Err(error) => matches!(
            error.kind(),
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
        ),
    }
}

fn numbered(document: &Document) -> impl Iterator<Item = (Kind, usize, &Record)> {
    [Kind::Reservation, Kind::Exclusion]
        .into_iter()
        .flat_map(|kind| {
            let records = document.records(kind).iter().enumerate();
            records.map(move |(index, record)| (kind, index, record))
        })
}

/// Declarations by their ports. None overlap in one place, once that was checked.
struct Declares<'d> {
    entries: &'d [Declaration],
    by_start: Vec<usize>,
    /// Ports of the longest one: those that start further away do not reach as far.
    longest: u16,
}

impl<'d> Declares<'d> {
    fn new(entries: &'d [Declaration]) -> Declares<'d> {
        let mut by_start: Vec<usize> = (0..entries.len()).collect();
        by_start.sort_by_key(|index| entries[*index].record.ports);
        let lengths = entries.iter().map(|it| it.record.ports.count());
        Declares {
            entries,
            by_start,
            longest: lengths.max().unwrap_or(0),
        }
    }

    /// Those that a record of the store cannot be beside.
    fn overlapping(&self, record: &Record) -> Vec<usize> {
        let ports = record.ports;
        let end = self.by_start.partition_point(|index| {
            let other = self.entries[*index].record.ports;
            (other.protocol(), other.start()) <= (ports.protocol(), ports.end())
        });
        let before = self.by_start[..end].iter().rev().copied();
        let mut found: Vec<usize> = before
            .take_while(|index| {
                let other = self.entries[*index].record.ports;
                other.protocol() == ports.protocol()
                    && other.start().saturating_add(self.longest) >= ports.start()
            })
            .filter(|index| {
                let other = &self.entries[*index].record;
                overlap(other.ports, ports).is_some() && meet(&other.netns, &record.netns)
            })
            .collect();
        found.reverse();
        found
    }
}

fn refuse_overlaps(entries: &[Declaration], conflicts: &mut Conflicts) {
    let mut sorted: Vec<&Declaration> = entries.iter().collect();
    sorted.sort_by_key(|it| (it.record.ports.protocol().number(), it.record.ports.start()));
    for (index, one) in sorted.iter().enumerate() {
        let ports = one.record.ports;
        let next = sorted[index + 1..].iter().take_while(|other| {
            other.record.ports.protocol() == ports.protocol()
                && other.record.ports.start() <= ports.end()
        });
        for other in next.filter(|other| meet(&one.record.netns, &other.record.netns)) {
            let mut places = [*one, *other];
            places.sort_by_key(|it| (it.record.source.clone(), it.line));
            let named = places.map(|it| {
                format!(
                    "{} ({}, {})",
                    it.place(),
                    it.record.ports,
                    words(it.kind, &it.record)
                )
            });
            conflicts.0.push(named.join(" overlaps "));
        }
    }
}

/// Pairs each declared entry with the one that it continues: of the same ports, else one that it
/// overlaps.
fn changes(ours: &[(Kind, &Record)], wanted: &[&Declaration]) -> Vec<Change> {
    let mut left: Vec<(Kind, &Record)> = ours.to_vec();
    left.sort_by_key(|(_, record)| (record.netns.clone(), record.ports));
    let mut by_place: BTreeMap<(Scope, PortRange), usize> = BTreeMap::new();
    for (index, (_, record)) in left.iter().enumerate() {
        by_place.insert((record.netns.clone(), record.ports), index);
    }
    let mut taken = vec![false; left.len()];
    let mut changes = Vec::new();
    let mut unpaired = Vec::new();
    for declaration in wanted {
        let (kind, record) = (declaration.kind, &declaration.record);
        match by_place.get(&(record.netns.clone(), record.ports)) {
            Some(index) => {
                taken[*index] = true;
                if left[*index] != (kind, record) {
                    changes.push(changed(Some(left[*index]), declaration));
                }
            }
            None => unpaired.push(*declaration),
        }
    }
    for declaration in unpaired {
        let record = &declaration.record;
        // None of one place overlap, so their ends ascend as their starts do.
        let end = left.partition_point(|(_, old)| {
            let other = (&old.netns, old.ports.protocol(), old.ports.start());
            other <= (&record.netns, record.ports.protocol(), record.ports.end())
        });
        let overlapping = (0..end).rev().take_while(|index| {
            let (_, old) = left[*index];
            old.netns == record.netns && overlap(old.ports, record.ports).is_some()
        });
        let goes_on = overlapping.filter(|index| !taken[*index]).last();
        if let Some(index) = goes_on {
            taken[index] = true;
        }
        changes.push(changed(goes_on.map(|index| left[index]), declaration));
    }
    let gone = left.iter().zip(&taken).filter(|(_, taken)| !**taken);
    changes.extend(gone.map(|((kind, record), _)| Change {
        before: Some((*kind, (*record).clone())),
        after: None,
        line: None,
    }));
    changes.sort_by_key(|change| {
        let entry = change.before.as_ref().or(change.after.as_ref());
        entry.map(|(_, record)| (record.netns.clone(), record.ports))
    });
    changes
}

fn changed(before: Option<(Kind, &Record)>, declaration: &Declaration) -> Change {
    Change {
        before: before.map(|(kind, record)| (kind, record.clone())),
        after: Some((declaration.kind, declaration.record.clone())),
        line: Some(declaration.line),
    }
}
