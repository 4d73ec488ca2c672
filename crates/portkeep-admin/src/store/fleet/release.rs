use super::{FleetTag, begin};
use crate::error::Error;
use crate::store::document::Record;
use crate::store::keeper::{Keeper, Kind};
use crate::store::kernel::overlap;
use crate::store::scope::Scope;
use crate::store::session::Session;

impl Keeper {
    /// Makes the kernel part give back all that it has of these reservations of a fleet. Their lines in the
    /// store stay until [`Keeper::erase_for_fleet`].
    ///
    /// # Errors
    ///
    /// If the kernel part refuses.
    pub fn delete_for_fleet(&self, tags: &[FleetTag]) -> Result<(), Error> {
        let session = begin(self)?;
        for tag in tags {
            delete(&session, &session.document.lines(tag))?;
        }
        Ok(())
    }

    /// Takes these reservations of a fleet out of the store, and out of the kernel part what is left of them
    /// there. One write for all of them.
    ///
    /// # Errors
    ///
    /// If the kernel part refuses, or the store cannot be written: then the lines are still there.
    pub fn erase_for_fleet(&self, tags: &[FleetTag]) -> Result<(), Error> {
        let mut session = begin(self)?;
        let lines: Vec<(Kind, Record)> = tags
            .iter()
            .flat_map(|tag| session.document.lines(tag))
            .collect();
        if lines.is_empty() {
            return session.save();
        }
        let pending = session.document.notes.pending.clone();
        let lasting = |(_, record): &&(Kind, Record)| !record.is_grant();
        for (_, record) in lines.iter().filter(lasting) {
            session.announce(record.ports, &Scope::Home);
        }
        session.save()?;
        delete(&session, &lines)?;
        for (kind, line) in &lines {
            let records = session.document.records_mut(*kind);
            records.retain(|record| record != line);
        }
        session.save()?;
        let protection = session.protection()?;
        session.write_protection(&protection)?;
        for (_, record) in lines.iter().filter(lasting) {
            session.note_applied([record.ports], &Scope::Home);
        }
        session.document.notes.pending = pending;
        session.save()
    }
}

fn delete(session: &Session<'_>, lines: &[(Kind, Record)]) -> Result<(), Error> {
    let live = session.kernel.live()?;
    for ports in lines.iter().map(|(_, record)| record.ports) {
        let parts = live.persistent_parts(session.namespace.cookie, ports);
        for part in parts {
            if let Some(ports) = overlap(part.range, ports) {
                session.kernel.delete(ports, &Scope::Home)?;
            }
        }
    }
    Ok(())
}
