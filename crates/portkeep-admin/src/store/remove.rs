//! Removing persistent reservations and exclusions, also in part.

use std::error::Error as _;

use portkeep::PortRange;

use crate::error::{Error, ErrorKind};
use crate::store::document::{Document, Record};
use crate::store::fleet::FleetTag;
use crate::store::keeper::{Keeper, Kind};
use crate::store::kernel::{Live, is_persistent, overlap, remainder};
use crate::store::notes::Pending;
use crate::store::obstacles::words;
use crate::store::request::Outcome;
use crate::store::scope::Scope;
use crate::store::session::Session;

impl Keeper {
    /// Gives ports of reservations or of exclusions back. Ports that are none are passed over; the
    /// others have to lie in one block each, of which the rest stays reserved.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Reserved`] if a range covers only a part of what it should, or ports that are
    /// reserved in another way; those of [`Keeper::reserve`].
    pub fn remove(
        &self,
        kind: Kind,
        ports: &[PortRange],
        scope: Option<Scope>,
    ) -> Result<Outcome, Error> {
        self.remove_of(kind, ports, scope, Of::Others)
    }

    /// As [`Keeper::remove`], and also what a fleet has made: on this machine alone. Its agent reports that,
    /// and does not make it again until an operator says so.
    ///
    /// # Errors
    ///
    /// Those of [`Keeper::remove`].
    pub fn remove_by_force(
        &self,
        kind: Kind,
        ports: &[PortRange],
        scope: Option<Scope>,
    ) -> Result<Outcome, Error> {
        self.remove_of(kind, ports, scope, Of::FleetsToo)
    }

    fn remove_of(
        &self,
        kind: Kind,
        ports: &[PortRange],
        scope: Option<Scope>,
        of: Of,
    ) -> Result<Outcome, Error> {
        let mut session = Session::begin(self, scope)?;
        let live = session.kernel.live()?;
        let mut outcome = Outcome::default();
        let mut cuts = Vec::new();
        for ports in ports {
            if let Some((ports, scope)) = find_cut(&session, &live, kind, *ports, of)? {
                outcome.ports.push(ports);
                add_cut(&mut cuts, ports, scope);
            }
        }
        outcome.changed = !cuts.is_empty();
        run(&mut session, kind, &cuts, &mut outcome)?;
        Ok(outcome)
    }
}

/// Whose reservations may be removed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Of {
    Others,
    FleetsToo,
}

fn by_the_fleet(tag: &FleetTag) -> String {
    let everywhere = match tag.grant {
        true => format!("`portkeep fleet release {}`", tag.id),
        false => format!("`portkeep fleet unreserve {}`", tag.id),
    };
    format!("{everywhere} ends it on all nodes; `--force` takes it out of this one alone")
}

/// The scope of the block that the ports lie in; `None` if nothing is there.
fn find_cut(
    session: &Session<'_>,
    live: &Live,
    kind: Kind,
    ports: PortRange,
    of: Of,
) -> Result<Option<(PortRange, Scope)>, Error> {
    let scope = &session.namespace.scope;
    // What holds everywhere is the business of who administers the machine.
    let everywhere = |record: &Record| scope.is_home() && record.netns == Scope::Every;
    let overlapping = |kind: Kind| {
        session
            .document
            .records(kind)
            .iter()
            .filter(|record| record.netns == *scope || everywhere(record))
            .filter(|record| overlap(record.ports, ports).is_some())
    };
    if let Some(record) = overlapping(kind).next() {
        if let Some(tag) = record.fleet.as_ref().filter(|_| of == Of::Others) {
            let message = format!("{} is {}", record.ports, words(kind, record));
            return Err(Error::new(ErrorKind::Reserved, message).with_hint(by_the_fleet(tag)));
        }
        if overlap(record.ports, ports) == Some(ports) {
            return Ok(Some((ports, record.netns.clone())));
        }
        let message = format!(
            "{ports} is not within one block: {} is {}",
            record.ports,
            words(kind, record)
        );
        return Err(Error::new(ErrorKind::Reserved, message)
            .with_hint("name a block or part of one; `portkeep ls` shows them"));
    }
    let (other, command) = match kind {
        Kind::Reservation => (Kind::Exclusion, "include"),
        Kind::Exclusion => (Kind::Reservation, "unreserve"),
    };
    if let Some(record) = overlapping(other).next() {
        let message = format!("{} is {}", record.ports, words(other, record));
        return Err(
            Error::new(ErrorKind::Reserved, message).with_hint(format!("use `portkeep {command}`"))
        );
    }
    let cookie = session.kernel.cookie(scope);
    match live.overlapping(ports).next() {
        None => Ok(None),
        // Made by another program, or of a store that was lost.
        Some(entry) if is_persistent(entry) && overlap(entry.range, ports) == Some(ports) => {
            let scope = if entry.netns_cookie == cookie {
                scope.clone()
            } else {
                Scope::Every
            };
            Ok(Some((ports, scope)))
        }
        Some(entry) => Err(Error::new(
            ErrorKind::Reserved,
            format!(
                "{} is reserved by process {} ({})",
                entry.range, entry.owner.pid, entry.owner.command
            ),
        )
        .with_hint("it ends with that process")),
    }
}

/// Adds what the cuts do not have yet: the kernel part finds nothing at a port that is free already.
fn add_cut(cuts: &mut Vec<(PortRange, Scope)>, ports: PortRange, scope: Scope) {
    let mut parts = vec![ports];
    for (other, of) in cuts.iter() {
        if *of == scope {
            let left = parts
                .into_iter()
                .flat_map(|part| match overlap(part, *other) {
                    Some(_) => remainder(part, *other).collect(),
                    None => vec![part],
                });
            parts = left.collect();
        }
    }
    cuts.extend(parts.into_iter().map(|part| (part, scope.clone())));
}

fn run(
    session: &mut Session<'_>,
    kind: Kind,
    cuts: &[(PortRange, Scope)],
    outcome: &mut Outcome,
) -> Result<(), Error> {
    let before = session.document.clone();
    for (ports, scope) in cuts {
        session.announce(*ports, scope);
    }
    session.save_from(&before)?;
    for (ports, scope) in cuts {
        cut_out(&mut session.document, kind, *ports, scope);
    }
    if let Err(error) = session.save() {
        session.document = before.clone();
        let _ = session.save();
        return Err(session.explained(error, &before, true));
    }
    for (index, (ports, scope)) in cuts.iter().enumerate() {
        if let Err(error) = session.kernel.delete(*ports, scope) {
            session.document = before;
            for (ports, scope) in &cuts[..index] {
                cut_out(&mut session.document, kind, *ports, scope);
                session.note_applied([*ports], scope);
            }
            session.save()?;
            return Err(error.into());
        }
    }
    // The ports are free, whatever becomes of the rest, which is noted as pending.
    if let Err(error) = settle(session, cuts, before.notes.pending) {
        let cause = error.source().map(|cause| format!(": {cause}"));
        outcome.warnings.push(format!(
            "{error}{}; once the cause is gone, run `portkeep enable`, which does the rest",
            cause.unwrap_or_default()
        ));
    }
    Ok(())
}

fn settle(
    session: &mut Session<'_>,
    cuts: &[(PortRange, Scope)],
    pending: Vec<Pending>,
) -> Result<(), Error> {
    let protection = session.protection()?;
    session.write_protection(&protection)?;
    for (ports, scope) in cuts {
        session.note_applied([*ports], scope);
    }
    session.document.notes.pending = pending;
    session.save()
}

fn cut_out(document: &mut Document, kind: Kind, ports: PortRange, scope: &Scope) {
    let records = document.records_mut(kind);
    let hit = |record: &Record| record.netns == *scope && overlap(record.ports, ports).is_some();
    let parts: Vec<_> = records
        .iter()
        .filter(|record| hit(record))
        .flat_map(|record| {
            remainder(record.ports, ports).map(|ports| Record {
                ports,
                ..record.clone()
            })
        })
        .collect();
    records.retain(|record| !hit(record));
    records.extend(parts);
}
