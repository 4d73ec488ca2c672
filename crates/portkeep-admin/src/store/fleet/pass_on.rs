use super::{FleetRequest, FleetTag, begin};
use crate::error::{Error, ErrorKind};
use crate::store::document::Record;
use crate::store::keeper::{Keeper, Kind};
use crate::store::kernel::without;
use crate::store::scope::Scope;

impl Keeper {
    /// Makes what two of a fleet's reservations have together, or the first one alone, the second one's: a
    /// policy takes the place of another. Its ports stay closed at every instant, and its consumers may bind
    /// from one instant on. What only the first one has stays its own.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidInput`] if the kernel part does not have all of the ports, and what
    /// [`Keeper::create_for_fleet`] fails with.
    pub fn pass_on_for_fleet(&self, old: &FleetTag, new: &FleetRequest) -> Result<(), Error> {
        let mut session = begin(self)?;
        let wanted = new.wanted()?;
        let mut live = session.kernel.live()?;
        let cookie = session.namespace.cookie;
        for record in &wanted.records {
            if !live.gaps(cookie, record.ports).is_empty() {
                let message = format!("not all of {} is reserved", record.ports);
                return Err(Error::new(ErrorKind::InvalidInput, message));
            }
        }
        let olds = session.document.lines(old);
        let news = session.document.lines(&wanted.tag);
        let cuts = || wanted.records.iter().map(|record| record.ports);
        let mut rest: Vec<(Kind, Record)> = Vec::new();
        for (kind, line) in &olds {
            let parts = without(line.ports, cuts()).into_iter();
            rest.extend(parts.map(|ports| {
                let record = Record {
                    ports,
                    ..line.clone()
                };
                (*kind, record)
            }));
        }
        for (kind, line) in olds.iter().chain(&news) {
            let records = session.document.records_mut(*kind);
            records.retain(|record| record != line);
        }
        let pending = session.document.notes.pending.clone();
        for (kind, record) in &rest {
            session.document.records_mut(*kind).push(record.clone());
        }
        let records = session.document.records_mut(wanted.kind);
        records.extend(wanted.records.iter().cloned());
        let changed = rest.iter().map(|(_, record)| record).chain(&wanted.records);
        let changed: Vec<Record> = changed.cloned().collect();
        for record in &changed {
            session.announce(record.ports, &Scope::Home);
        }
        session.save()?;
        for record in &wanted.records {
            session.reshape(&mut live, record, &wanted.consumers)?;
        }
        for record in &changed {
            session.note_applied(record.ports, &Scope::Home);
        }
        session.document.notes.pending = pending;
        session.save()
    }
}
