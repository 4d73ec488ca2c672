//! Making the kernel agree with the store, at boot and whenever they differ.

use std::collections::BTreeSet;
use std::path::PathBuf;

use portkeep::Consumer;

use crate::error::Error;
use crate::store::difference::{Difference, Repairs};
use crate::store::document::{Document, Record};
use crate::store::grace;
use crate::store::keeper::{FindSockets, Keeper, Kind};
use crate::store::kernel::Kernel;
use crate::store::names;
use crate::store::namespace::{Namespace, within};
use crate::store::scope::Scope;
use crate::store::session::{Protection, Session};

/// What [`Keeper::restore`] did.
#[derive(Debug, Default)]
pub struct Report {
    /// How many reservations the kernel part has of the store now.
    pub reservations: usize,
    /// How many exclusions.
    pub exclusions: usize,
    /// In what the store, the kernel part and the protected ports had differed.
    pub differences: Vec<Difference>,
    /// What an administrator should look after; the ports are kept closed all the same.
    pub warnings: Vec<String>,
    /// What could not be restored.
    pub failures: Vec<Error>,
}

impl Keeper {
    /// Makes the kernel part, `ip_local_reserved_ports` and the store agree, in the network
    /// namespace of the calling thread, which is home from now on, and in those that have a name.
    ///
    /// The store wins: what was deleted from it the kernel part gives back. Only what another program
    /// has reserved there and the store never had is stored. Users,
    /// groups and cgroups are looked up anew. Sockets that are bound already are not in the way;
    /// `sockets` tells of those that are not the consumers'.
    ///
    /// # Errors
    ///
    /// If nothing could be done, such as for a store that is [damaged](crate::ErrorKind::Damaged). What
    /// fails for single reservations is in the report.
    pub fn restore(&self, sockets: Option<&(dyn FindSockets + Sync)>) -> Result<Report, Error> {
        let is_new = !self.file().exists() && !self.notes_file().exists();
        if is_new && self.has_nothing_to_store()? {
            return Ok(Report::default());
        }
        let mut report = Report::default();
        let mut paths = BTreeSet::new();
        {
            let lock = self.store.lock()?;
            let mut session = Session::open(self, lock, Some(Scope::Home))?;
            session.document.notes.home = Some(session.namespace.identity());
            paths.extend(session.document.paths());
            restore_in(&mut session, sockets, &mut report)?;
        }
        for path in paths {
            let restored = within(&path, || {
                let scope = Some(Scope::At(path.clone()));
                let mut report = Report::default();
                let mut session = Session::open(self, self.store.lock()?, scope)?;
                restore_in(&mut session, sockets, &mut report)?;
                Ok(report)
            });
            match restored {
                Ok(Some(restored)) => report.add(restored),
                Ok(None) => report.warnings.push(format!(
                    "there is no network namespace {}; create it and run `portkeep enable` again",
                    path.display()
                )),
                Err(error) => report.failures.push(error),
            }
        }
        Ok(report)
    }

    /// Whether there is neither a store nor anything that one would be made for.
    fn has_nothing_to_store(&self) -> Result<bool, Error> {
        let namespace = Namespace::current(Scope::Home)?;
        let live = Kernel::in_namespace(&self.installation, &namespace)?.live()?;
        Ok(live.all_persistent().next().is_none())
    }
}

impl Report {
    fn add(&mut self, other: Report) {
        self.reservations += other.reservations;
        self.exclusions += other.exclusions;
        self.differences.extend(other.differences);
        self.warnings.extend(other.warnings);
        self.failures.extend(other.failures);
    }
}

impl Document {
    fn paths(&self) -> impl Iterator<Item = PathBuf> {
        let records = self.reservations.iter().chain(&self.exclusions);
        let named = records.filter_map(|record| match &record.netns {
            Scope::At(path) => Some(path.clone()),
            _ => None,
        });
        let protected = self.notes.protected.iter().map(|entry| &entry.path);
        let applied = self.notes.applied.iter().map(|entry| &entry.path);
        named.chain(protected.chain(applied).flatten().cloned())
    }
}

pub fn restore_in(
    session: &mut Session<'_>,
    sockets: Option<&(dyn FindSockets + Sync)>,
    report: &mut Report,
) -> Result<(), Error> {
    let interrupted = session.document.notes.pending.iter();
    report
        .differences
        .extend(interrupted.map(|pending| Difference::Interrupted(pending.ports)));
    session.finish_interrupted()?;
    let live = session.kernel.live()?;
    let repairs = Repairs::find(&session.document, &session.namespace, &live)?;
    report.differences.extend(repairs.differences());
    for entry in &repairs.unrecorded {
        session.document.adopt(entry, &session.namespace.scope);
    }
    // What others made is in the file before it is noted as having been there: else the next one
    // would take it for deleted.
    session.save()?;
    session.note_all_applied(&[], true);
    // Protected first: the kernel part reserves no port that connect() could take.
    let protection = session.protection()?;
    report.differences.extend(protection.differences());
    session.protect(&protection)?;
    session.save()?;

    let mut failed = Vec::new();
    let mut unseen = Vec::new();
    let mut live = live;
    for (kind, record, consumers) in &repairs.reshaped {
        let cookie = session.kernel.cookie(&record.netns);
        let mut filled = Ok(());
        let gaps = live.gaps(cookie, record.ports);
        let is_filled = !gaps.is_empty();
        for ports in gaps {
            let gap = Record {
                ports,
                ..record.clone()
            };
            match create(session, *kind, &gap, consumers) {
                Err(error) => filled = Err(error),
                Ok(Bound::Somebody) => warn_of_strangers(&gap, consumers, sockets, report),
                Ok(Bound::Nobody) => unseen.extend(unseen_in(*kind, &protection, gap, consumers)),
            }
        }
        if is_filled {
            live = session.kernel.live()?;
        }
        // What is there gets its consumers all the same.
        let reshaped = session.reshape(&mut live, record, consumers);
        if let Err(error) = filled.and(reshaped) {
            failed.push(*kind);
            report.failures.push(error);
        }
    }
    let mut left = Vec::new();
    for (ports, scope) in &repairs.cuts {
        if let Err(error) = session.kernel.delete(*ports, scope) {
            left.push((*ports, scope.clone()));
            report.failures.push(error.into());
        }
    }
    for (record, consumers) in &repairs.changed {
        if let Err(error) = session.set_consumers(record, consumers) {
            report.failures.push(error);
        }
    }
    for (kind, record, consumers) in &repairs.missing {
        match create(session, *kind, record, consumers) {
            Err(error) => {
                failed.push(*kind);
                report.failures.push(error);
            }
            Ok(Bound::Somebody) => warn_of_strangers(record, consumers, sockets, report),
            Ok(Bound::Nobody) => {
                unseen.extend(unseen_in(*kind, &protection, record.clone(), consumers));
            }
        }
    }
    // A connect() may have found a port free before it was protected, and have taken it since.
    if !unseen.is_empty() {
        grace::wait();
    }
    for (record, consumers) in unseen {
        warn_of_strangers(&record, consumers, sockets, report);
    }
    session.note_all_applied(&left, false);
    let protection = session.protection()?;
    session.write_protection(&protection)?;
    session.save()?;
    for (ports, missing) in repairs.unresolved {
        report.warnings.push(format!(
            "{ports} stays closed: {missing}; create it and run `portkeep enable` again"
        ));
    }
    let count = |kind: Kind| {
        let records = session.document.lasting();
        let of_kind = records.filter(|(of, _)| *of == kind).map(|(_, it)| it);
        let here = of_kind.filter(|record| {
            record.netns == session.namespace.scope
                || (session.namespace.scope.is_home() && record.netns == Scope::Every)
        });
        here.count() - failed.iter().filter(|failed| **failed == kind).count()
    };
    report.reservations += count(Kind::Reservation);
    report.exclusions += count(Kind::Exclusion);
    Ok(())
}

/// Whether a socket was bound in a block when it was reserved.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Bound {
    Nobody,
    Somebody,
}

/// Sockets that are there already stay, and the ports are closed to others from now on.
fn create(
    session: &Session<'_>,
    kind: Kind,
    record: &Record,
    consumers: &[Consumer],
) -> Result<Bound, Error> {
    let create = |adopt| {
        session
            .kernel
            .create(record.ports, &record.netns, consumers, adopt)
    };
    match create(kind == Kind::Exclusion) {
        Ok(()) => Ok(Bound::Nobody),
        Err(error) if error.kind() == portkeep::ErrorKind::InUse => {
            create(true)?;
            Ok(Bound::Somebody)
        }
        Err(error) => {
            let error = Error::from(error);
            let message = format!("{} cannot be reserved: {error}", record.ports);
            Err(Error::new(error.kind(), message).with_hint(
                error
                    .hint()
                    .unwrap_or("free the ports and run `portkeep enable` again; the store keeps the reservation"),
            ))
        }
    }
}

/// What a socket may have got into that the kernel part did not see.
fn unseen_in<'a>(
    kind: Kind,
    protection: &Protection,
    record: Record,
    consumers: &'a [Consumer],
) -> Option<(Record, &'a [Consumer])> {
    let unseen = kind == Kind::Reservation && protection.missing.meets(record.ports);
    unseen.then_some((record, consumers))
}

fn warn_of_strangers(
    record: &Record,
    consumers: &[Consumer],
    sockets: Option<&(dyn FindSockets + Sync)>,
    report: &mut Report,
) {
    let found = sockets.map(|sockets| sockets.find(record.ports, consumers));
    if let Some(Ok(found)) = found {
        let strangers = found.of_strangers.into_iter();
        report.warnings.extend(strangers.map(|line| {
            format!(
                "{} is reserved, but a stranger already had a socket there: {line}",
                record.ports
            )
        }));
    }
}

impl Document {
    /// Stores what only the kernel part has.
    fn adopt(&mut self, entry: &portkeep::Entry, scope: &Scope) {
        let netns = match entry.netns_cookie {
            crate::store::kernel::EVERY_NETNS => Scope::Every,
            _ => scope.clone(),
        };
        let mut record = Record {
            ports: entry.range,
            netns,
            users: Vec::new(),
            groups: Vec::new(),
            cgroups: Vec::new(),
            comment: None,
            source: None,
            fleet: None,
            owner: None,
        };
        let kind = if entry.named == [portkeep::Consumer::EVERYBODY] {
            Kind::Exclusion
        } else {
            names::name(&entry.named, &mut record);
            Kind::Reservation
        };
        self.records_mut(kind).push(record);
    }
}
