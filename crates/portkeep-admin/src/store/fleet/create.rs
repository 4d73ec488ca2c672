use portkeep::PortRange;

use super::obstacle::{InTheWay, Obstacle};
use super::request::Wanted;
use super::{FleetRequest, begin};
use crate::error::{Error, ErrorKind};
use crate::store::document::Record;
use crate::store::grace;
use crate::store::keeper::{FindSockets, Keeper, Kind};
use crate::store::kernel::Live;
use crate::store::scope::Scope;
use crate::store::session::{Protection, Session};

type Answer = Result<(), Vec<Obstacle>>;

impl Keeper {
    /// Makes the kernel part refuse everybody else at these ports, which [`Keeper::note_for_fleet`] has
    /// noted. Each request gets all of its ports or none, whatever becomes of the others. One that the kernel
    /// part has already is answered with success.
    ///
    /// Sockets of the consumers are not in the way, if `sockets` tells who they are.
    ///
    /// # Errors
    ///
    /// If nothing could be done, [`ErrorKind::InvalidInput`] for what is not noted.
    pub fn create_for_fleet(
        &self,
        requests: &[FleetRequest],
        sockets: Option<&dyn FindSockets>,
    ) -> Result<Vec<Answer>, Error> {
        let mut session = begin(self)?;
        let live = session.kernel.live()?;
        let mut works = Vec::new();
        for request in requests {
            let wanted = request.wanted()?;
            require_noted(&session, &wanted)?;
            let cookie = session.namespace.cookie;
            let obstacles = wanted.missing_or_reserved(&session.document, &live, cookie);
            works.push(Work {
                adopt: wanted.kind == Kind::Exclusion,
                wanted,
                created: Vec::new(),
                obstacles,
            });
        }
        let mut protection = protection_of(&mut session, &live, &works)?;
        if refuse_before_protecting(&protection, &mut works, sockets)? {
            protection = protection_of(&mut session, &live, &works)?;
        }
        let pending = session.document.notes.pending.clone();
        let lasting = |work: &&Work| work.is_open() && !work.wanted.tag.grant;
        for work in works.iter().filter(lasting) {
            for record in &work.wanted.records {
                session.announce(record.ports, &Scope::Home);
            }
        }
        session.save()?;
        session.write_protection(&protection)?;
        for work in works.iter_mut().filter(|work| work.is_open()) {
            work.create(&session, &live, sockets)?;
        }
        look_again(&session, &mut works, &protection, sockets)?;
        for work in works.iter().filter(lasting) {
            for record in &work.wanted.records {
                session.note_applied([record.ports], &Scope::Home);
            }
        }
        session.document.notes.pending = pending;
        session.save()?;
        Ok(works.into_iter().map(Work::answer).collect())
    }
}

fn require_noted(session: &Session<'_>, wanted: &Wanted) -> Result<(), Error> {
    let lines = session.document.lines(&wanted.tag);
    for record in &wanted.records {
        if !lines
            .iter()
            .any(|(kind, line)| *kind == wanted.kind && line.is_at(record))
        {
            let message = format!("{} of {} is not noted", record.ports, wanted.tag);
            return Err(Error::new(ErrorKind::InvalidInput, message)
                .with_hint("what is about to be offered is noted first"));
        }
    }
    Ok(())
}

/// A refused range is not to touch the setting that keeps automatic ports away. Of others the kernel says whether
/// something is bound there; to list all sockets takes a thousand times as long. Says whether one was refused.
fn refuse_before_protecting(
    protection: &Protection,
    works: &mut [Work],
    sockets: Option<&dyn FindSockets>,
) -> Result<bool, Error> {
    let mut refused = false;
    for work in works.iter_mut().filter(|work| work.is_open()) {
        let mut records = work.wanted.records.iter();
        if records.any(|record| protection.missing.meets(record.ports)) {
            let (strangers, adopt) = work.wanted.strangers(sockets)?;
            work.obstacles = strangers;
            work.adopt |= adopt;
            refused |= !work.is_open();
        }
    }
    Ok(refused)
}

/// That of what is not refused already.
fn protection_of(
    session: &mut Session<'_>,
    live: &Live,
    works: &[Work],
) -> Result<Protection, Error> {
    let (reservations, exclusions) = (
        session.document.reservations.clone(),
        session.document.exclusions.clone(),
    );
    for work in works.iter().filter(|work| !work.is_open()) {
        let records = session.document.records_mut(work.wanted.kind);
        records.retain(|line| !work.wanted.records.iter().any(|record| record.is_at(line)));
    }
    let protection = session.document.protection(&session.namespace, live);
    session.document.reservations = reservations;
    session.document.exclusions = exclusions;
    protection
}

/// A connect() may have found a port free before it was protected, and adopting does not look.
fn look_again(
    session: &Session<'_>,
    works: &mut [Work],
    protection: &Protection,
    sockets: Option<&dyn FindSockets>,
) -> Result<(), Error> {
    let newly_protected = |ports| protection.missing.meets(ports);
    let concerns = |work: &Work| {
        let mut created = work.created.iter().copied();
        work.is_open() && (created.len() > 0 && work.adopt || created.any(newly_protected))
    };
    if !protection.missing.is_empty() {
        grace::wait();
    }
    for work in works.iter_mut().filter(|work| concerns(work)) {
        work.obstacles = work.wanted.strangers(sockets)?.0;
        if !work.obstacles.is_empty() {
            work.undo(session)?;
        }
    }
    Ok(())
}

/// One request under way.
#[derive(Debug)]
struct Work {
    wanted: Wanted,
    adopt: bool,
    created: Vec<PortRange>,
    obstacles: Vec<Obstacle>,
}

impl Work {
    fn is_open(&self) -> bool {
        self.obstacles.is_empty()
    }

    fn answer(self) -> Answer {
        match self.obstacles.is_empty() {
            true => Ok(()),
            false => Err(self.obstacles),
        }
    }

    fn create(
        &mut self,
        session: &Session<'_>,
        live: &Live,
        sockets: Option<&dyn FindSockets>,
    ) -> Result<(), Error> {
        for record in self.wanted.records.clone() {
            if live
                .persistent(session.namespace.cookie, record.ports)
                .is_some()
            {
                self.renew_consumers(session, &record)?;
                continue;
            }
            let mut made = self.create_one(session, record.ports);
            let mut obstacles = Vec::new();
            if made.is_err() && !self.adopt {
                (obstacles, self.adopt) = self.wanted.strangers(sockets)?;
                if obstacles.is_empty() && self.adopt {
                    made = self.create_one(session, record.ports);
                }
            }
            let Err(error) = made else {
                self.created.push(record.ports);
                continue;
            };
            self.undo(session)?;
            // Better than the first port in the way are all of them.
            self.obstacles = obstacles;
            if self.obstacles.is_empty() {
                self.obstacles.push(from_kernel(record.ports, &error));
            }
            return Ok(());
        }
        Ok(())
    }

    fn create_one(&self, session: &Session<'_>, ports: PortRange) -> Result<(), portkeep::Error> {
        let consumers = &self.wanted.consumers;
        session
            .kernel
            .create(ports, &Scope::Home, consumers, self.adopt)
    }

    /// Those of a grant are the processes that were let in meanwhile.
    fn renew_consumers(&self, session: &Session<'_>, record: &Record) -> Result<(), Error> {
        match self.wanted.tag.grant {
            true => Ok(()),
            false => session.set_consumers(record, &self.wanted.consumers),
        }
    }

    fn undo(&mut self, session: &Session<'_>) -> Result<(), Error> {
        for ports in self.created.drain(..) {
            session.kernel.delete(ports, &Scope::Home)?;
        }
        Ok(())
    }
}

fn from_kernel(ports: PortRange, error: &portkeep::Error) -> Obstacle {
    let port = error.conflict().and_then(|conflict| conflict.port);
    let at = port.and_then(|port| PortRange::new(ports.protocol(), port, port).ok());
    Obstacle {
        ports: at.unwrap_or(ports),
        what: InTheWay::Other(error.to_string()),
    }
}
