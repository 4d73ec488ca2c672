//! One change under way: the lock, the store and the kernel part of one network namespace.
//!
//! The order of a change, so that a crash or a power cut at any instant leaves the old or the new
//! state once [`crate::Keeper::restore`] has run:
//!
//! 1. The store says which ports are about to change in the kernel, and which ports are about to be
//!    added to `ip_local_reserved_ports`.
//! 2. These are added: a port is protected from automatic choice before it is reserved.
//! 3. The kernel part is changed.
//! 4. The store has the new state, and nothing pending. This rename is what decides.
//!
//! A removal differs in that the first write has the new state already. Whatever is pending when
//! the next change begins was interrupted; the kernel part gives those ports back, but for what the
//! store has.

use portkeep::{Consumer, PortRange};
use portkeep_kernel::set_consumers;

use crate::Keeper;
use crate::document::{Document, Pending, Protected, Record};
use crate::error::Error;
use crate::kernel::{Kernel, Live, overlap};
use crate::namespace::Namespace;
use crate::port_set::PortSet;
use crate::scope::Scope;
use crate::store::Lock;
use crate::sysctl;

#[derive(Debug)]
pub struct Session<'a> {
    keeper: &'a Keeper,
    _lock: Lock,
    pub document: Document,
    saved: Document,
    pub namespace: Namespace,
    pub kernel: Kernel,
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
        let saved = keeper.store.load()?;
        let namespace = saved.namespace(scope)?;
        let mut document = saved.clone();
        document.forget_the_past(&namespace.boot);
        if namespace.scope.is_home() && document.home.is_none() {
            document.home = Some(namespace.identity());
        }
        Ok(Session {
            keeper,
            _lock: lock,
            kernel: Kernel::in_namespace(&namespace)?,
            document,
            saved,
            namespace,
        })
    }

    /// Writes the store if it differs from what is written.
    pub fn save(&mut self) -> Result<(), Error> {
        if self.document != self.saved {
            self.keeper.store.save(&self.document)?;
            self.saved = self.document.clone();
        }
        Ok(())
    }

    pub fn finish_interrupted(&mut self) -> Result<(), Error> {
        let (mine, others): (Vec<_>, Vec<_>) = std::mem::take(&mut self.document.pending)
            .into_iter()
            .partition(|pending| self.scope_of(pending).is_some());
        self.document.pending = others;
        if mine.is_empty() {
            return Ok(());
        }
        let live = self.kernel.live()?;
        for pending in mine {
            let Some(scope) = self.scope_of(&pending) else {
                continue;
            };
            let cookie = self.kernel.cookie(&scope);
            let unwanted = live
                .all_persistent()
                .filter(|entry| entry.netns_cookie == cookie)
                .filter(|entry| !self.document.has(entry.range, &scope));
            for ports in unwanted.filter_map(|entry| overlap(entry.range, pending.ports)) {
                self.kernel.delete(ports, &scope)?;
            }
        }
        let protection = self.protection()?;
        self.write_protection(&protection)?;
        self.save()
    }

    /// The scope of something pending that concerns this namespace.
    fn scope_of(&self, pending: &Pending) -> Option<Scope> {
        if pending.netns == self.namespace.identity() {
            Some(self.namespace.scope.clone())
        } else if pending.netns == self.namespace.identity_of(crate::kernel::EVERY_NETNS) {
            Some(Scope::Every)
        } else {
            None
        }
    }

    /// Notes that the kernel's reservation of these ports is about to change.
    pub fn announce(&mut self, ports: PortRange, scope: &Scope) {
        let netns = self.namespace.identity_of(self.kernel.cookie(scope));
        self.document.pending.push(Pending { ports, netns });
    }

    /// Notes which ports may be added to the protected ones, before they are: else those of an
    /// interrupted change would be taken for somebody else's.
    pub fn announce_protection(&mut self, protection: &Protection) {
        let own = self.document.own_ports(&self.namespace);
        self.set_own_ports(own.union(&protection.own));
    }

    /// Writes `ip_local_reserved_ports` and notes, to be saved, which ports of it are Portkeep's.
    pub fn write_protection(&mut self, protection: &Protection) -> Result<(), Error> {
        if !protection
            .own
            .is_subset(&self.document.own_ports(&self.namespace))
        {
            self.announce_protection(protection);
            self.save()?;
        }
        let files = self.keeper.store.files();
        sysctl::change_protected(files, &protection.own, &protection.superfluous)?;
        let mut own = protection.own.clone();
        // Who acquired some of them meanwhile needs them protected; from now on nobody can.
        let taken = protection
            .superfluous
            .intersection(&self.kernel.live()?.runtime_ports());
        if !taken.is_empty() {
            own = own.union(&taken);
            sysctl::change_protected(files, &own, &PortSet::new())?;
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
        let cookie = self.kernel.cookie(&record.netns);
        set_consumers(&self.keeper.location, cookie, record.ports, consumers)?;
        Ok(())
    }

    fn set_own_ports(&mut self, ports: PortSet) {
        let netns = self.namespace.identity();
        self.document.protected.retain(|entry| entry.netns != netns);
        if !ports.is_empty() {
            let path = self.namespace.path();
            self.document
                .protected
                .push(Protected { netns, path, ports });
        }
    }
}

impl Document {
    /// The network namespace that the calling thread is in. Without a scope it is that which the
    /// thread was found in: home, unless it has a name or `enable` ran in another one.
    pub(crate) fn namespace(&self, scope: Option<Scope>) -> Result<Namespace, Error> {
        let asked = scope.is_some();
        let scope = scope.map_or_else(crate::namespace::own_scope, Ok)?;
        let mut namespace = Namespace::current(scope)?;
        let elsewhere =
            |home: &Scope| !home.is_of_the_past(&namespace.boot) && *home != namespace.identity();
        if !asked && namespace.scope.is_home() && self.home.as_ref().is_some_and(elsewhere) {
            namespace.scope = namespace.identity();
        }
        Ok(namespace)
    }

    /// Whether a record is of exactly these ports in that place.
    fn has(&self, ports: PortRange, scope: &Scope) -> bool {
        let mut records = self.reservations.iter().chain(&self.exclusions);
        records.any(|record| record.ports == ports && record.netns == *scope)
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
        let own = self.protected.iter().find(|entry| entry.netns == netns);
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
        let needed = reserved
            .intersection(&automatic)
            .difference(&listed.difference(&own));
        Ok(Protection {
            missing: needed.difference(&listed),
            superfluous: own.difference(&needed).intersection(&listed),
            recorded: own == needed,
            own: needed,
        })
    }
}
