//! One change under way: the lock, the store and the kernel part of one network namespace.
//!
//! The order of a change, so that a crash or a power cut at any instant leaves the old or the new
//! state once [`crate::Keeper::restore`] has run:
//!
//! 1. The notes say which ports are about to change in the kernel, and which ports are about to be
//!    added to `ip_local_reserved_ports`.
//! 2. These are added: a port is protected from automatic choice before it is reserved.
//! 3. The kernel part is changed.
//! 4. The entries have the new state. This rename is what decides.
//! 5. The notes say what is applied, and that nothing is pending.
//!
//! A removal differs in that the entries have the new state before the kernel part is changed.
//! Whatever is pending when the next change begins was interrupted; the kernel part gives those
//! ports back, but for what the entries have, and makes these ports the blocks that the entries say.

use std::collections::BTreeMap;

use portkeep::{Consumer, PortRange, Protocol};

use crate::Keeper;
use crate::error::Error;
use crate::store::document::{Document, Record};
use crate::store::file::Lock;
use crate::store::grace;
use crate::store::keeper::Kind;
use crate::store::kernel::{Kernel, Live, overlap, without};
use crate::store::names::Resolver;
use crate::store::namespace::Namespace;
use crate::store::notes::{Applied, Pending, Protected};
use crate::store::port_set::PortSet;
use crate::store::ranges::{Ports, Ranges};
use crate::store::scope::Scope;
use crate::store::shape::explained;
use crate::store::sysctl;

#[derive(Debug)]
pub struct Session<'a> {
    keeper: &'a Keeper,
    _lock: Lock,
    pub document: Document,
    saved: Document,
    /// What the files have may be neither `saved` nor `document`.
    unsure: Unsure,
    text: Option<String>,
    pub namespace: Namespace,
    pub kernel: Kernel,
}

/// Of which files a write failed, perhaps after the rename.
#[derive(Clone, Copy, Debug, Default)]
struct Unsure {
    grants: bool,
    entries: bool,
    notes: bool,
}

/// What is to become of `ip_local_reserved_ports`.
#[derive(Debug)]
pub struct Protection {
    /// Ports of it that Portkeep added, or will have added.
    pub own: PortSet,
    /// Those of them that are not listed.
    pub missing: PortSet,
    /// Ports that Portkeep added and nothing needs any more.
    pub superfluous: PortSet,
    recorded: bool,
}

impl Protection {
    /// Whether all is as it should be.
    pub fn is_settled(&self) -> bool {
        self.missing.is_empty() && self.superfluous.is_empty() && self.recorded
    }
}

impl<'a> Session<'a> {
    /// Waits for the lock, and finishes what was interrupted.
    pub fn begin(keeper: &'a Keeper, scope: Option<Scope>) -> Result<Session<'a>, Error> {
        let lock = keeper.store.lock()?;
        let mut session = Session::open(keeper, lock, scope)?;
        session.finish_interrupted()?;
        Ok(session)
    }

    /// As [`Session::begin`], and leaves what was interrupted.
    pub fn open(
        keeper: &'a Keeper,
        lock: Lock,
        scope: Option<Scope>,
    ) -> Result<Session<'a>, Error> {
        let loaded = keeper.store.read()?;
        let saved = loaded.document;
        if loaded.notes_are_elsewhere {
            keeper.store.save_notes(&saved.notes)?;
        }
        let namespace = saved.namespace(scope)?;
        let mut document = saved.clone();
        document.forget_the_past(&namespace.boot);
        if namespace.scope.is_home() && document.notes.home.is_none() {
            document.notes.home = Some(namespace.identity());
        }
        Ok(Session {
            keeper,
            _lock: lock,
            kernel: Kernel::in_namespace(&keeper.installation, &namespace)?,
            document,
            saved,
            unsure: Unsure::default(),
            text: loaded.text,
            namespace,
        })
    }

    /// The text that the file of the entries has.
    pub fn text(&self) -> Option<&str> {
        self.text.as_deref()
    }

    /// Works in another network namespace, which the calling thread is in.
    pub fn elsewhere<T>(
        &mut self,
        scope: Scope,
        work: impl FnOnce(&mut Self) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let namespace = self.document.namespace(Some(scope))?;
        let kernel = Kernel::in_namespace(&self.keeper.installation, &namespace)?;
        let own = (
            std::mem::replace(&mut self.namespace, namespace),
            std::mem::replace(&mut self.kernel, kernel),
        );
        let done = work(self);
        (self.namespace, self.kernel) = own;
        done
    }

    /// Writes what differs from what is written: the entries, then the notes.
    pub fn save(&mut self) -> Result<(), Error> {
        let store = &self.keeper.store;
        let (new, old, unsure) = (&self.document, &mut self.saved, &mut self.unsure);
        if unsure.grants || !new.grants().eq(old.grants()) {
            unsure.grants = true;
            store.save_grants(new, &self.namespace.boot)?;
            unsure.grants = false;
        }
        if unsure.entries || !new.lasting().eq(old.lasting()) {
            unsure.entries = true;
            let lasting = new.without_grants();
            self.text = Some(store.save_entries(self.text.as_deref(), &lasting)?);
            unsure.entries = false;
        }
        old.reservations.clone_from(&new.reservations);
        old.exclusions.clone_from(&new.exclusions);
        if unsure.notes || new.notes != old.notes {
            unsure.notes = true;
            store.save_notes(&new.notes)?;
            unsure.notes = false;
            old.notes.clone_from(&new.notes);
        }
        Ok(())
    }

    /// The same; where it fails, what was there before.
    pub fn save_or_restore(&mut self) -> Result<(), Error> {
        let before = self.saved.clone();
        self.save().map_err(|error| {
            self.document = before.clone();
            let _ = self.save();
            self.explained(error, &before, true)
        })
    }

    /// The same; where it fails, the error says whether anything is changed from what was before.
    pub fn save_from(&mut self, before: &Document) -> Result<(), Error> {
        self.save()
            .map_err(|error| self.explained(error, before, true))
    }

    /// Adds to an error, after the change was undone as far as it could be, whether anything is changed.
    pub fn explained(&self, error: Error, before: &Document, undone: bool) -> Error {
        let stored = self.keeper.store.load();
        let is_before = stored.is_ok_and(|stored| stored.has_the_same(before));
        match (is_before && undone, error.hint()) {
            (true, Some(_)) => error,
            (true, None) => error.with_hint("nothing is changed"),
            (false, _) => error.with_hint(HALF_DONE),
        }
    }

    pub fn finish_interrupted(&mut self) -> Result<(), Error> {
        let (mine, others): (Vec<_>, Vec<_>) = std::mem::take(&mut self.document.notes.pending)
            .into_iter()
            .partition(|pending| self.scope_of(pending).is_some());
        self.document.notes.pending = others;
        if mine.is_empty() {
            return Ok(());
        }
        self.give_back(&mine)?;
        // What cannot be finished now stays to be finished.
        let unfinished = self.settle(&mine)?;
        for (scope, ports) in self.by_scope(&mine) {
            self.note_applied(ports, &scope);
        }
        self.document.notes.pending.extend(unfinished);
        let protection = self.protection()?;
        self.write_protection(&protection)?;
        self.save()
    }

    /// Of pending ports, what the kernel part has and the entries have not.
    fn give_back(&self, pending: &[Pending]) -> Result<(), Error> {
        let live = self.kernel.live()?;
        for (scope, pending) in self.by_scope(pending) {
            let cookie = self.kernel.cookie(&scope);
            let kept: Ranges = self.document.ranges_of(&scope).collect();
            for pending in pending {
                let unwanted = live
                    .persistent_parts(cookie, pending)
                    .into_iter()
                    .filter(|entry| !kept.has(entry.range))
                    .filter_map(|entry| overlap(entry.range, pending));
                for ports in unwanted {
                    for ports in without(ports, kept.overlapping(ports)) {
                        self.kernel.delete(ports, &scope)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// What is pending here, in each scope.
    fn by_scope(&self, pending: &[Pending]) -> BTreeMap<Scope, Vec<PortRange>> {
        let mut by_scope: BTreeMap<Scope, Vec<PortRange>> = BTreeMap::new();
        for pending in pending {
            if let Some(scope) = self.scope_of(pending) {
                by_scope.entry(scope).or_default().push(pending.ports);
            }
        }
        by_scope
    }

    /// Makes of pending ports what the entries have, where the kernel part has all of these ports.
    fn settle(&self, pending: &[Pending]) -> Result<Vec<Pending>, Error> {
        let mut live = self.kernel.live()?;
        let mut resolver = Resolver::default();
        let mut unfinished = Vec::new();
        let document = &self.document;
        let ports: BTreeMap<Scope, Ports> = self
            .by_scope(pending)
            .into_iter()
            .map(|(scope, ports)| (scope, ports.into_iter().collect()))
            .collect();
        for (kind, record) in document.with_kinds() {
            let ports = ports.get(&record.netns);
            if !ports.is_some_and(|ports| ports.meet(record.ports)) {
                continue;
            }
            let cookie = self.kernel.cookie(&record.netns);
            if !live.gaps(cookie, record.ports).is_empty() {
                continue;
            }
            let consumers = match kind {
                Kind::Exclusion => vec![Consumer::EVERYBODY],
                Kind::Reservation => resolver.resolve(record)?.consumers,
            };
            if self.reshape(&mut live, record, &consumers).is_err() {
                let concerned = pending.iter().find(|pending| {
                    overlap(pending.ports, record.ports).is_some()
                        && self.scope_of(pending).as_ref() == Some(&record.netns)
                });
                unfinished.extend(concerned.cloned());
            }
        }
        Ok(unfinished)
    }

    /// The scope of something pending that concerns this namespace.
    fn scope_of(&self, pending: &Pending) -> Option<Scope> {
        if pending.netns == self.namespace.identity() {
            Some(self.namespace.scope.clone())
        } else if pending.netns
            == self
                .namespace
                .identity_of(crate::store::kernel::EVERY_NETNS)
        {
            Some(Scope::Every)
        } else {
            None
        }
    }

    /// Notes that the kernel's reservation of these ports is about to change.
    pub fn announce(&mut self, ports: PortRange, scope: &Scope) {
        let netns = self.namespace.identity_of(self.kernel.cookie(scope));
        self.document.notes.pending.push(Pending { ports, netns });
    }

    /// Notes, to be saved, that the kernel part has of these ports what the entries have.
    pub fn note_applied(&mut self, ports: impl IntoIterator<Item = PortRange>, scope: &Scope) {
        let changed: Ports = ports.into_iter().collect();
        let wanted: Ports = self.document.ranges_of(scope).collect();
        let mut applied = self.applied(scope);
        for (set, protocol) in [
            (&mut applied.tcp, Protocol::Tcp),
            (&mut applied.udp, Protocol::Udp),
        ] {
            let (changed, wanted) = (changed.of(protocol), wanted.of(protocol));
            *set = set.difference(changed).union(&wanted.intersection(changed));
        }
        self.document.notes.set_applied(applied);
    }

    /// Notes, to be saved, that the kernel part may have all that the entries have here, and some
    /// ports besides. `keep`: and what it may have had before.
    pub fn note_all_applied(&mut self, besides: &[(PortRange, Scope)], keep: bool) {
        let every = self.namespace.scope.is_home().then_some(Scope::Every);
        for scope in [self.namespace.scope.clone()].into_iter().chain(every) {
            let mut applied = if keep {
                self.applied(&scope)
            } else {
                self.nothing_applied(&scope)
            };
            let records = self.document.lasting().map(|(_, record)| record);
            let ours = records.filter(|record| record.netns == scope);
            ours.for_each(|record| applied.insert(record.ports));
            let besides = besides.iter().filter(|(_, of)| *of == scope);
            besides.for_each(|(ports, _)| applied.insert(*ports));
            self.document.notes.set_applied(applied);
        }
    }

    fn applied(&self, scope: &Scope) -> Applied {
        let nothing = self.nothing_applied(scope);
        let applied = self.document.notes.applied(&nothing.netns).cloned();
        applied.unwrap_or(nothing)
    }

    fn nothing_applied(&self, scope: &Scope) -> Applied {
        let netns = self.namespace.identity_of(self.kernel.cookie(scope));
        Applied::new(netns, self.namespace.path())
    }

    /// Notes which ports may be added to the protected ones, before they are: else those of an
    /// interrupted change would be taken for somebody else's.
    pub fn announce_protection(&mut self, protection: &Protection) {
        let own = self.document.own_ports(&self.namespace);
        self.set_own_ports(own.union(&protection.own));
    }

    /// Adds to `ip_local_reserved_ports` what is missing there, and takes nothing away. A connect()
    /// that has found one of these ports free before has it when this returns, so that who looks for
    /// sockets now sees it (see `grace.rs`).
    pub fn protect(&mut self, protection: &Protection) -> Result<(), Error> {
        if !protection
            .own
            .is_subset(&self.document.own_ports(&self.namespace))
        {
            self.announce_protection(protection);
            self.save()?;
        }
        sysctl::add_protected(self.keeper.store.files(), &protection.own)?;
        if !protection.missing.is_empty() {
            grace::wait();
        }
        Ok(())
    }

    /// Writes `ip_local_reserved_ports` and notes, to be saved, which ports of it are Portkeep's.
    pub fn write_protection(&mut self, protection: &Protection) -> Result<(), Error> {
        self.protect(protection)?;
        let files = self.keeper.store.files();
        sysctl::remove_protected(files, &protection.superfluous)?;
        let mut own = protection.own.clone();
        // Who acquired some of them meanwhile needs them protected; from now on nobody can.
        let taken = match protection.superfluous.is_empty() {
            true => PortSet::new(),
            false => protection
                .superfluous
                .intersection(&self.kernel.live()?.runtime_ports()),
        };
        if !taken.is_empty() {
            own = own.union(&taken);
            sysctl::add_protected(files, &own)?;
        }
        self.set_own_ports(own);
        Ok(())
    }

    pub fn protection(&self) -> Result<Protection, Error> {
        let live = self.kernel.live()?;
        self.document.protection(&self.namespace, &live)
    }

    /// Changes who may bind, at one instant.
    pub fn set_consumers(&self, record: &Record, consumers: &[Consumer]) -> Result<(), Error> {
        self.kernel
            .change(record.ports, &record.netns, consumers)
            .map_err(|error| explained(error, record.ports, "get other users"))
    }

    fn set_own_ports(&mut self, ports: PortSet) {
        let netns = self.namespace.identity();
        let protected = &mut self.document.notes.protected;
        protected.retain(|entry| entry.netns != netns);
        if !ports.is_empty() {
            let path = self.namespace.path();
            protected.push(Protected { netns, path, ports });
        }
    }
}

/// What to do where the change could be neither finished nor undone.
pub const HALF_DONE: &str = "store and kernel part differ now: once the cause is gone, run `portkeep enable`, \
     which makes them agree on the state before or after";

impl Document {
    /// The network namespace that the calling thread is in. Without a scope it is that which the
    /// thread was found in: home, unless it has a name or `enable` ran in another one.
    pub(crate) fn namespace(&self, scope: Option<Scope>) -> Result<Namespace, Error> {
        let asked = scope.is_some();
        let scope = scope.map_or_else(crate::store::namespace::own_scope, Ok)?;
        let mut namespace = Namespace::current(scope)?;
        let elsewhere =
            |home: &Scope| !home.is_of_the_past(&namespace.boot) && *home != namespace.identity();
        if !asked && namespace.scope.is_home() && self.notes.home.as_ref().is_some_and(elsewhere) {
            namespace.scope = namespace.identity();
        }
        Ok(namespace)
    }

    /// All records, reservations first.
    pub(crate) fn with_kinds(&self) -> impl Iterator<Item = (Kind, &Record)> {
        let of = |kind| move |record| (kind, record);
        let reservations = self.reservations.iter().map(of(Kind::Reservation));
        reservations.chain(self.exclusions.iter().map(of(Kind::Exclusion)))
    }

    /// What a boot restores.
    pub(crate) fn lasting(&self) -> impl Iterator<Item = (Kind, &Record)> {
        self.with_kinds().filter(|(_, record)| !record.is_grant())
    }

    /// Whether both restore the same, in whatever order.
    fn has_the_same(&self, other: &Document) -> bool {
        let sorted = |document: &Document| {
            let lasting = document.lasting().map(|(_, record)| record.clone());
            let mut records: Vec<Record> = lasting.collect();
            records.sort_by_key(|record| (record.netns.clone(), record.ports));
            records
        };
        sorted(self) == sorted(other) && self.exclusions.len() == other.exclusions.len()
    }

    fn grants(&self) -> impl Iterator<Item = &Record> {
        let records = self.reservations.iter();
        records.filter(|record| record.is_grant())
    }

    fn without_grants(&self) -> Document {
        let mut document = self.clone();
        document.reservations.retain(|record| !record.is_grant());
        document
    }

    pub(crate) fn ranges_of(&self, scope: &Scope) -> impl Iterator<Item = PortRange> {
        self.with_kinds()
            .filter(move |(_, record)| record.netns == *scope)
            .map(|(_, record)| record.ports)
    }

    /// All records that hold in a namespace.
    pub(crate) fn records_in<'d>(
        &'d self,
        namespace: &'d Namespace,
    ) -> impl Iterator<Item = &'d Record> {
        self.reservations
            .iter()
            .chain(&self.exclusions)
            .filter(|record| record.is_in(namespace))
    }

    fn own_ports(&self, namespace: &Namespace) -> PortSet {
        let netns = namespace.identity();
        let own = self
            .notes
            .protected
            .iter()
            .find(|entry| entry.netns == netns);
        own.map(|entry| entry.ports.clone()).unwrap_or_default()
    }

    pub(crate) fn protection(
        &self,
        namespace: &Namespace,
        live: &Live,
    ) -> Result<Protection, Error> {
        let (listed, own) = (sysctl::protected_ports()?, self.own_ports(namespace));
        let automatic = PortSet::from(sysctl::automatic_range()?);
        // A process may have acquired what was protected for another protocol.
        let mut reserved = own.intersection(&live.runtime_ports());
        for record in self.records_in(namespace) {
            reserved.insert(record.ports.start()..=record.ports.end());
        }
        // What was listed before we came is somebody else's, also where we need it too.
        let mut needed = reserved
            .intersection(&automatic)
            .difference(&listed.difference(&own));
        let missing = needed.difference(&listed);
        let mut superfluous = own.difference(&needed).intersection(&listed);
        // They stay ours, to be taken away once the list has got shorter.
        if !sysctl::can_be_removed(&listed.union(&missing), &superfluous) {
            needed = needed.union(&superfluous);
            superfluous = PortSet::new();
        }
        Ok(Protection {
            missing,
            superfluous,
            recorded: own == needed,
            own: needed,
        })
    }
}
