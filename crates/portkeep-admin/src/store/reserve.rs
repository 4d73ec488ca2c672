//! Making persistent reservations and exclusions.

use portkeep::{PortRange, Protocol, Reservation};

use crate::error::{Error, ErrorKind};
use crate::store::creation::Creation;
use crate::store::document::Record;
use crate::store::keeper::{FindSockets, Keeper, Kind};
use crate::store::kernel::Live;
use crate::store::obstacles::{find_strangers, refuse, refuse_overlaps, words};
use crate::store::request::{Outcome, Ports, Request};
use crate::store::scope::Scope;
use crate::store::session::Session;
use crate::store::warnings;

/// How often a block is looked for that nobody takes before it is ours.
const ATTEMPTS: usize = 32;

impl Keeper {
    /// Reserves or excludes ports, now and after every [`Keeper::restore`]. All or nothing.
    ///
    /// A request for ports that are reserved so already is granted and changes nothing but the
    /// comment, if it has one. Sockets in the block that belong to the named consumers are not in
    /// the way; without `sockets` any socket is. To an exclusion none is.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Reserved`], [`ErrorKind::InUse`] with a line for each socket,
    /// [`ErrorKind::UnknownName`], [`ErrorKind::NotPermitted`], [`ErrorKind::InvalidInput`], and
    /// those of the store: [`ErrorKind::Damaged`], [`ErrorKind::NewerVersion`].
    pub fn reserve(
        &self,
        request: &Request,
        sockets: Option<&dyn FindSockets>,
    ) -> Result<Outcome, Error> {
        match &request.ports {
            Ports::These(ports) => self.reserve_these(request, ports, sockets),
            Ports::Any {
                protocols,
                count,
                align,
            } => self.reserve_any(request, protocols, *count, *align, sockets),
        }
    }

    /// Finds a block as an acquire does, and reserves exactly that. Whoever takes a port of it in
    /// between makes us look again.
    fn reserve_any(
        &self,
        request: &Request,
        protocols: &[Protocol],
        count: u16,
        align: u16,
        sockets: Option<&dyn FindSockets>,
    ) -> Result<Outcome, Error> {
        let mut search = Reservation::builder().count(count).align(align);
        for protocol in protocols {
            search = search.protocol(*protocol);
        }
        let mut attempt = 1;
        loop {
            let found = search.acquire()?;
            let ports: Vec<_> = protocols
                .iter()
                .filter_map(|protocol| found.range(*protocol))
                .collect();
            drop(found);
            match self.reserve_these(request, &ports, sockets) {
                Err(error) if attempt < ATTEMPTS && is_taken(&error) => attempt += 1,
                result => return result,
            }
        }
    }

    fn reserve_these(
        &self,
        request: &Request,
        ports: &[PortRange],
        sockets: Option<&dyn FindSockets>,
    ) -> Result<Outcome, Error> {
        // What holds everywhere is made here, too.
        let here = request.scope.clone().filter(|scope| *scope != Scope::Every);
        let mut session = Session::begin(self, here)?;
        let scope = match request.scope {
            Some(Scope::Every) => Scope::Every,
            _ => session.namespace.scope.clone(),
        };
        let mut outcome = Outcome {
            ports: ports.to_vec(),
            ..Outcome::default()
        };
        let consumers = request.consumers(&mut outcome)?;
        let live = session.kernel.live()?;
        let mut new = Vec::new();
        for ports in ports {
            let record = request.record(*ports, &scope)?;
            if session.has(request.kind, &record, &live, &mut outcome)? {
                continue;
            }
            let cookie = session.kernel.cookie(&scope);
            refuse_overlaps(&session.document, &live, request.kind, &record, cookie)?;
            new.push(record);
        }
        let sockets = sockets.filter(|_| request.kind == Kind::Reservation);
        let creation = Creation {
            kind: request.kind,
            consumers: &consumers,
            sockets,
            adopt: request.kind == Kind::Exclusion || find_strangers(&new, &consumers, sockets)?,
        };
        outcome.changed |= !new.is_empty();
        creation.run(&mut session, new, &live)?;
        outcome.warnings.extend(warnings::about(ports, &scope)?);
        Ok(outcome)
    }
}

fn is_taken(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Reserved | ErrorKind::InUse)
}

impl Session<'_> {
    /// Whether the store and the kernel part have it already; renews the comment.
    fn has(
        &mut self,
        kind: Kind,
        wanted: &Record,
        live: &Live,
        outcome: &mut Outcome,
    ) -> Result<bool, Error> {
        let cookie = self.kernel.cookie(&wanted.netns);
        let records = self.document.records_mut(kind);
        let Some(record) = records.iter_mut().find(|record| record.is_at(wanted)) else {
            return Ok(false);
        };
        if record.fleet.is_some() {
            return Err(refuse(wanted.ports, record.ports, &words(kind, record)));
        }
        if !record.has_consumers_of(wanted) {
            return Err(refuse(wanted.ports, record.ports, &words(kind, record))
                .with_hint("unreserve the ports first to change who may bind there"));
        }
        if wanted.comment.is_some() && record.comment != wanted.comment {
            record.comment.clone_from(&wanted.comment);
            outcome.changed = true;
        }
        Ok(live.persistent(cookie, wanted.ports).is_some())
    }
}
