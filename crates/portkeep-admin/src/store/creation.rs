//! Making blocks, step by step, and undoing what has been done where a step fails.

use portkeep::Consumer;

use crate::error::Error;
use crate::store::document::{Document, Record};
use crate::store::grace;
use crate::store::keeper::{FindSockets, Kind};
use crate::store::kernel::Live;
use crate::store::obstacles::find_strangers;
use crate::store::session::Session;

/// The making of blocks that are not there yet.
pub struct Creation<'a> {
    pub kind: Kind,
    pub consumers: &'a [Consumer],
    pub sockets: Option<&'a dyn FindSockets>,
    pub adopt: bool,
}

impl Creation<'_> {
    pub fn run(
        &self,
        session: &mut Session<'_>,
        new: Vec<Record>,
        live: &Live,
    ) -> Result<(), Error> {
        let before = session.document.clone();
        let records = session.document.records_mut(self.kind);
        for record in &new {
            records.retain(|old| !old.is_at(record));
            records.push(record.clone());
        }
        let protection = session.protection()?;
        let after = session.document.clone();
        if new.is_empty() && protection.is_settled() {
            return session.save_or_restore();
        }
        session.document = before.clone();
        session.announce_protection(&protection);
        for record in &new {
            session.announce(record.ports, &record.netns);
        }
        session.save_from(&before)?;

        let mut created = Vec::new();
        let done = session
            .write_protection(&protection)
            .and_then(|()| self.create_all(session, &new, live, &mut created))
            .and_then(|()| self.look_again(&new, !protection.missing.is_empty()))
            .and_then(|()| {
                let protected = std::mem::take(&mut session.document.notes.protected);
                session.document = after;
                session.document.notes.protected = protected;
                for record in &new {
                    session.note_applied([record.ports], &record.netns);
                }
                session.save()
            });
        done.map_err(|error| undo(session, before, &created, error))
    }

    fn create_all(
        &self,
        session: &Session<'_>,
        new: &[Record],
        live: &Live,
        created: &mut Vec<Record>,
    ) -> Result<(), Error> {
        for record in new {
            let cookie = session.kernel.cookie(&record.netns);
            if live.persistent(cookie, record.ports).is_some() {
                session.set_consumers(record, self.consumers)?;
                continue;
            }
            let result =
                session
                    .kernel
                    .create(record.ports, &record.netns, self.consumers, self.adopt);
            if let Err(error) = result {
                // Better than the first port in the way are all of them.
                find_strangers(new, self.consumers, self.sockets)?;
                return Err(error.into());
            }
            created.push(record.clone());
        }
        Ok(())
    }

    /// Adopting did not look, and a connect() may have found an automatic port free before it was
    /// protected and have taken it after the kernel part looked. From now on nobody can bind.
    fn look_again(&self, new: &[Record], newly_protected: bool) -> Result<(), Error> {
        if newly_protected {
            grace::wait();
        }
        if newly_protected || self.adopt {
            find_strangers(new, self.consumers, self.sockets)?;
        }
        Ok(())
    }
}

/// Back to the old state. What cannot be undone now is left pending, for the next change to finish.
fn undo(session: &mut Session<'_>, before: Document, created: &[Record], error: Error) -> Error {
    let mut undone = true;
    for record in created {
        undone &= session.kernel.delete(record.ports, &record.netns).is_ok();
    }
    let notes = std::mem::take(&mut session.document.notes);
    session.document = before.clone();
    session.document.notes.protected = notes.protected;
    undone &= session
        .protection()
        .and_then(|protection| session.write_protection(&protection))
        .is_ok();
    if !undone {
        session.document.notes.pending = notes.pending;
    }
    // The store as it is says that the ports are pending, which is as good.
    let _ = session.save();
    session.explained(error, &before, undone)
}
