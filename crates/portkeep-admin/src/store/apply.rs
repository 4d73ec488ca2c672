//! Making the machine have what files declare: all of it, or nothing changes.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use portkeep::{Consumer, PortRange};

use crate::error::{Error, ErrorKind};
use crate::store::declared::{Declaration, Declared};
use crate::store::difference::Difference;
use crate::store::document::{Document, Record};
use crate::store::keeper::{FindSockets, Keeper, Kind};
use crate::store::kernel::Kernel;
use crate::store::names::Resolver;
use crate::store::namespace::within;
use crate::store::obstacles::find_strangers;
use crate::store::plan::{Change, Plan};
use crate::store::ranges::Ports;
use crate::store::restore::{Report, restore_in};
use crate::store::scope::Scope;
use crate::store::session::{Protection, Session};
use crate::store::shape::too_old;

/// What [`Keeper::apply`] did, or would do.
#[derive(Debug, Default)]
pub struct Applied {
    /// The entries that change.
    pub changes: Vec<Change>,
    /// How many of the declared entries others had made before, just so. They stay theirs.
    pub of_others: usize,
    /// In what else the store, the kernel part and the protected ports differed.
    pub differences: Vec<Difference>,
    /// What an administrator should look after.
    pub warnings: Vec<String>,
    /// What could not be done; the store has all of it, and the next `portkeep enable` tries again.
    pub failures: Vec<Error>,
}

impl Applied {
    /// Whether nothing had to be done.
    pub fn is_unchanged(&self) -> bool {
        self.changes.is_empty() && self.differences.is_empty()
    }
}

/// What to make of declared users and groups that do not exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnknownNames {
    /// A slip: nothing is changed.
    Refuse,
    /// They may come later, as from a directory service after boot. Their ports stay closed.
    Accept,
}

impl Keeper {
    /// What [`Keeper::apply`] would do. Changes nothing, and needs no privilege where the store can
    /// be read. Without the kernel part it compares with the store alone.
    ///
    /// # Errors
    ///
    /// Those of [`Keeper::apply`], but for sockets in the way, which only the change itself meets.
    pub fn compare(&self, declared: &Declared, unknown: UnknownNames) -> Result<Applied, Error> {
        let loaded = self.store.read()?;
        let document = loaded.document;
        let namespace = document.namespace(None)?;
        require_home(&namespace.scope)?;
        let text = loaded.text.unwrap_or_default();
        let plan = Plan::new(&document, declared, &text, &self.file())?;
        let mut applied = Applied::default();
        look_names_up(&plan, unknown, &mut applied.warnings)?;
        let kernel = Kernel::in_namespace(&self.installation, &namespace)?;
        match kernel.live() {
            Ok(live) => {
                for scope in [Scope::Home, Scope::Every] {
                    let cookie = kernel.cookie(&scope);
                    plan.find_in_the_way(&document, &scope, &live, cookie)
                        .refuse()?;
                }
                applied.differences = self.differences()?;
            }
            Err(_) => applied.warnings.push(
                "Portkeep is not enabled here: this compares with the store alone".to_owned(),
            ),
        }
        applied.of_others = plan.of_others;
        applied.changes = plan.changes;
        Ok(applied)
    }

    /// Makes the store, the kernel part and the protected ports have what is declared, and nothing
    /// any more of what the same files declared before. What others made stays.
    ///
    /// All or nothing, also over a crash. A port that is reserved before and afterwards is so at
    /// every instant. `sockets` tells of sockets that are in the way of new ports; those of the
    /// consumers are not.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Overlap`] with a line for each two entries that overlap; those of
    /// [`Keeper::reserve`].
    pub fn apply(
        &self,
        declared: &Declared,
        unknown: UnknownNames,
        sockets: Option<&(dyn FindSockets + Sync)>,
    ) -> Result<Applied, Error> {
        let mut session = Session::open(self, self.store.lock()?, None)?;
        require_home(&session.namespace.scope)?;
        let places = places(&session.document, declared);
        for place in &places {
            visit(&mut session, place, |session| session.finish_interrupted())?;
        }
        let text = session.text().unwrap_or_default().to_owned();
        let plan = Plan::new(&session.document, declared, &text, &self.file())?;
        let mut applied = Applied::default();
        look_names_up(&plan, unknown, &mut applied.warnings)?;
        for place in &places {
            let found = visit(&mut session, place, |session| refuse(session, &plan))?;
            if found.is_none() {
                applied.warnings.push(missing_namespace(place));
            }
        }
        if !plan.changes.is_empty() {
            change(&mut session, &places, &plan, sockets)?;
        }
        let mut report = Report::default();
        for place in &places {
            let restored = visit(&mut session, place, |session| {
                restore_in(session, sockets, &mut report)
            });
            match restored {
                // The store has the change, which decides.
                Err(error) if !plan.changes.is_empty() => {
                    report.failures.push(error.with_hint(STORED));
                }
                restored => drop(restored?),
            }
        }
        // What the change itself was about is no other difference.
        let about: Ports = plan.changes.iter().flat_map(Change::ports).collect();
        report
            .differences
            .retain(|difference| !difference.ports().is_some_and(|ports| about.meet(ports)));
        if !plan.changes.is_empty() {
            report
                .differences
                .retain(|difference| !matches!(difference, Difference::NeedlesslyProtected(_)));
        }
        applied.of_others = plan.of_others;
        applied.changes = plan.changes;
        applied.differences = report.differences;
        applied.warnings.extend(report.warnings);
        applied.failures = report.failures;
        Ok(applied)
    }
}

/// What to do where the kernel part could not be made to follow.
const STORED: &str = "the store has what is declared; once the cause is gone, run `portkeep enable`, which does the rest";

/// A network namespace to act in: home, and what holds in every one, or one with a path.
type Place = Option<PathBuf>;

fn places(document: &Document, declared: &Declared) -> Vec<Place> {
    let stored = document.with_kinds().map(|(_, record)| record);
    let ours = stored.filter(|record| record.source.is_some());
    let wanted = declared.entries.iter().map(|it| &it.record);
    let paths: BTreeSet<PathBuf> = ours
        .chain(wanted)
        .filter_map(|record| match &record.netns {
            Scope::At(path) => Some(path.clone()),
            _ => None,
        })
        .collect();
    [None]
        .into_iter()
        .chain(paths.into_iter().map(Some))
        .collect()
}

/// Works in a place, with the session there. `None` if the namespace does not exist.
fn visit<T: Send>(
    session: &mut Session<'_>,
    place: &Place,
    work: impl FnOnce(&mut Session<'_>) -> Result<T, Error> + Send,
) -> Result<Option<T>, Error> {
    match place {
        None => work(session).map(Some),
        Some(path) => within(path, || session.elsewhere(Scope::At(path.clone()), work)),
    }
}

fn missing_namespace(place: &Place) -> String {
    let path = place.as_deref().unwrap_or(Path::new("")).display();
    format!("there is no network namespace {path}; create it and run `portkeep apply` again")
}

fn require_home(scope: &Scope) -> Result<(), Error> {
    if scope.is_home() {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::InvalidInput,
        "declarations are applied in the network namespace in which `portkeep enable` ran",
    )
    .with_hint("run this there; an entry's `netns` names other namespaces"))
}

/// The scopes that are looked after in a session's place.
fn scopes(session: &Session<'_>) -> Vec<Scope> {
    let own = session.namespace.scope.clone();
    if own.is_home() {
        vec![own, Scope::Every]
    } else {
        vec![own]
    }
}

fn refuse(session: &mut Session<'_>, plan: &Plan) -> Result<(), Error> {
    let live = session.kernel.live()?;
    let mut in_place = false;
    for scope in scopes(session) {
        let cookie = session.kernel.cookie(&scope);
        plan.find_in_the_way(&session.document, &scope, &live, cookie)
            .refuse()?;
        for (_, record) in plan.changed(&scope) {
            in_place |= !live.persistent_parts(cookie, record.ports).is_empty();
        }
    }
    if in_place && !session.kernel.can_reshape() {
        return Err(too_old());
    }
    Ok(())
}

/// In declared order, so that the first slip of a file is the one that is named.
fn look_names_up(
    plan: &Plan,
    unknown: UnknownNames,
    warnings: &mut Vec<String>,
) -> Result<(), Error> {
    let mut resolver = Resolver::default();
    for change in &plan.changes {
        let Some((kind, record)) = &change.after else {
            continue;
        };
        let declaration = Declaration {
            kind: *kind,
            record: record.clone(),
            line: change.line.unwrap_or(1),
        };
        for missing in resolver.resolve(record)?.missing {
            let place = declaration.place();
            match unknown {
                UnknownNames::Refuse if missing.what != "cgroup" => {
                    let message = format!("{place}: {missing}");
                    return Err(Error::new(ErrorKind::UnknownName, message)
                        .with_hint("create it first, or name another one; nothing is changed"));
                }
                UnknownNames::Refuse => warnings.push(format!(
                    "{place}: {missing}; until it exists and `portkeep enable` runs, nobody can \
                     bind to {} on its behalf",
                    record.ports
                )),
                // The restore that follows says so.
                UnknownNames::Accept => {}
            }
        }
    }
    Ok(())
}

/// A block of the kernel part that is new.
#[derive(Clone, Debug)]
struct Gap {
    kind: Kind,
    record: Record,
    consumers: Vec<Consumer>,
}

/// Takes the new ports everywhere, and then writes the store, which decides. The blocks become those
/// of the store afterwards.
fn change(
    session: &mut Session<'_>,
    places: &[Place],
    plan: &Plan,
    sockets: Option<&(dyn FindSockets + Sync)>,
) -> Result<(), Error> {
    let before = session.document.clone();
    let mut gaps_by_place = Vec::new();
    for place in places {
        let prepared = visit(session, place, |session| announce(session, plan))?;
        gaps_by_place.push((place, prepared));
    }
    session.save_from(&before)?;
    let mut created = Vec::new();
    let mut taken = Ok(());
    for (place, prepared) in &gaps_by_place {
        let Some((gaps, protection)) = prepared else {
            continue;
        };
        let mut here = Vec::new();
        taken = visit(session, place, |session| {
            take(session, gaps, protection, sockets, &mut here)
        })
        .map(drop);
        created.push((*place, here));
        if taken.is_err() {
            break;
        }
    }
    let saved = taken.and_then(|()| {
        session
            .document
            .reservations
            .clone_from(&plan.document.reservations);
        session
            .document
            .exclusions
            .clone_from(&plan.document.exclusions);
        session.save()
    });
    saved.map_err(|error| undo(session, before, &created, error))
}

/// Notes what is about to change, to be saved; gives the ports to take.
fn announce(session: &mut Session<'_>, plan: &Plan) -> Result<(Vec<Gap>, Protection), Error> {
    let live = session.kernel.live()?;
    let mut resolver = Resolver::default();
    let mut gaps = Vec::new();
    for scope in scopes(session) {
        let cookie = session.kernel.cookie(&scope);
        for (kind, record) in plan.changed(&scope) {
            let consumers = match kind {
                Kind::Exclusion => vec![Consumer::EVERYBODY],
                Kind::Reservation => resolver.resolve(record)?.consumers,
            };
            gaps.extend(
                live.gaps(cookie, record.ports)
                    .into_iter()
                    .map(|ports| Gap {
                        kind,
                        record: Record {
                            ports,
                            ..record.clone()
                        },
                        consumers: consumers.clone(),
                    }),
            );
        }
        for ports in plan.ports(&scope) {
            session.announce(ports, &scope);
        }
    }
    // Until the store is written the old entries need what they need, too.
    let old = session.document.clone();
    let entries = |from: &Document, to: &mut Document| {
        to.reservations.extend_from_slice(&from.reservations);
        to.exclusions.extend_from_slice(&from.exclusions);
    };
    entries(&plan.document, &mut session.document);
    let protection = session.protection();
    session.document.reservations = old.reservations;
    session.document.exclusions = old.exclusions;
    let protection = protection?;
    session.announce_protection(&protection);
    Ok((gaps, protection))
}

fn take(
    session: &mut Session<'_>,
    gaps: &[Gap],
    protection: &Protection,
    sockets: Option<&(dyn FindSockets + Sync)>,
    created: &mut Vec<Record>,
) -> Result<(), Error> {
    session.protect(protection)?;
    let mut in_use = Vec::new();
    for gap in gaps {
        let create = |adopt| {
            let record = &gap.record;
            session
                .kernel
                .create(record.ports, &record.netns, &gap.consumers, adopt)
        };
        match create(gap.kind == Kind::Exclusion) {
            Ok(()) => created.push(gap.record.clone()),
            Err(error) if error.kind() == portkeep::ErrorKind::InUse && sockets.is_some() => {
                in_use.push(gap);
            }
            Err(error) => return Err(of(gap, error.into())),
        }
    }
    let finder = sockets.map(|sockets| sockets as &dyn FindSockets);
    refuse_strangers(&in_use, finder)?;
    for gap in &in_use {
        let record = &gap.record;
        session
            .kernel
            .create(record.ports, &record.netns, &gap.consumers, true)
            .map_err(|error| of(gap, error.into()))?;
        created.push(record.clone());
    }
    refuse_strangers(&in_use, finder)?;
    // A connect() may have found a port free before it was protected (see `grace.rs`).
    let newly_protected: Vec<&Gap> = gaps
        .iter()
        .filter(|gap| gap.kind == Kind::Reservation)
        .filter(|gap| protection.missing.meets(gap.record.ports))
        .collect();
    if newly_protected.is_empty() || !is_anything_bound(&newly_protected, finder)? {
        return Ok(());
    }
    refuse_strangers(&newly_protected, finder)
}

/// Looks once over all of the ports: thousands of looks take seconds.
fn is_anything_bound(gaps: &[&Gap], sockets: Option<&dyn FindSockets>) -> Result<bool, Error> {
    for protocol in [portkeep::Protocol::Tcp, portkeep::Protocol::Udp] {
        let ports = || {
            let ports = gaps.iter().map(|gap| gap.record.ports);
            ports.filter(|ports| ports.protocol() == protocol)
        };
        let (start, end) = (
            ports().map(|it| it.start()).min(),
            ports().map(|it| it.end()).max(),
        );
        let Some((start, end)) = start.zip(end) else {
            continue;
        };
        let span = PortRange::new(protocol, start, end).map_err(portkeep::Error::from)?;
        let found = sockets.map(|sockets| sockets.find(span, &[])).transpose();
        let found = found.map_err(|error| {
            let message = format!("cannot find the sockets in {span}: {error}");
            Error::new(ErrorKind::System, message)
        })?;
        if found.is_some_and(|found| !found.of_strangers.is_empty()) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// All of them, and what they are in the way of.
fn refuse_strangers(gaps: &[&Gap], sockets: Option<&dyn FindSockets>) -> Result<(), Error> {
    let mut lines = Vec::new();
    for gap in gaps {
        match find_strangers(std::slice::from_ref(&gap.record), &gap.consumers, sockets) {
            Err(error) if error.kind() == ErrorKind::InUse => {
                let message = error.to_string();
                let of_gap = message.lines().skip(1).map(str::to_owned);
                lines.extend(of_gap);
            }
            found => drop(found?),
        }
    }
    if lines.is_empty() {
        return Ok(());
    }
    let message = format!(
        "sockets are in the way of declared ports; nothing is changed:\n{}",
        lines.join("\n")
    );
    Err(Error::new(ErrorKind::InUse, message)
        .with_hint("stop these programs, declare other ports, or name their users"))
}

fn of(gap: &Gap, error: Error) -> Error {
    let source = gap.record.source.as_deref().unwrap_or(Path::new(""));
    let message = format!("{}: {}: {error}", source.display(), gap.record.ports);
    let hint = error.hint().unwrap_or("nothing is changed").to_owned();
    Error::new(error.kind(), message).with_hint(hint)
}

/// Back to the old state. What cannot be undone now is left pending, for the next change to finish.
fn undo(
    session: &mut Session<'_>,
    before: Document,
    created: &[(&Place, Vec<Record>)],
    error: Error,
) -> Error {
    let mut undone = true;
    let protected = std::mem::take(&mut session.document.notes.protected);
    let pending = std::mem::take(&mut session.document.notes.pending);
    session.document = before.clone();
    session.document.notes.protected = protected;
    for (place, created) in created {
        let visited = visit(session, place, |session| {
            let mut all = true;
            for record in created {
                all &= session.kernel.delete(record.ports, &record.netns).is_ok();
            }
            let protection = session.protection()?;
            session.write_protection(&protection)?;
            Ok(all)
        });
        undone &= matches!(visited, Ok(Some(true)));
    }
    if !undone {
        session.document.notes.pending = pending;
    }
    // The store as it is says that the ports are pending, which is as good.
    let _ = session.save();
    session.explained(error, &before, undone)
}

impl Change {
    /// The ports before and after it.
    fn ports(&self) -> impl Iterator<Item = PortRange> {
        let entries = self.before.iter().chain(&self.after);
        entries.map(|(_, record)| record.ports)
    }
}
