//! Leaving no trace in the settings of the kernel.

use crate::error::Error;
use crate::store::keeper::Keeper;
use crate::store::namespace::{Namespace, within};
use crate::store::port_set::PortSet;
use crate::store::scope::Scope;
use crate::store::sysctl;

impl Keeper {
    /// Takes what Portkeep has added to `ip_local_reserved_ports` out again, in all network
    /// namespaces that can be found. The store keeps its reservations, whether or not they can be
    /// understood. Gives the ports that had to stay: the kernel cannot take a list of others without
    /// them in one write. They are taken out once it can.
    ///
    /// # Errors
    ///
    /// Those of the store and of the setting.
    pub fn withdraw(&self) -> Result<PortSet, Error> {
        if !self.file().exists() && !self.notes_file().exists() {
            return Ok(PortSet::new());
        }
        let lock = self.store.lock()?;
        // Before the notes had a file of their own they were in the store.
        let mut notes = match self.store.notes()? {
            Some(notes) => notes,
            None => self.store.load()?.notes,
        };
        let own = Namespace::current(Scope::Home)?;
        let before = notes.clone();
        notes.forget_the_past(&own.boot);
        let mut all_left = PortSet::new();
        for mut entry in std::mem::take(&mut notes.protected) {
            let take_out = || -> Result<PortSet, Error> {
                sysctl::remove_protected(self.store.files(), &entry.ports)?;
                Ok(entry.ports.intersection(&sysctl::protected_ports()?))
            };
            let left = if entry.netns == own.identity() {
                take_out()?
            } else {
                let there = |path| {
                    within(path, || match Namespace::current(Scope::Home)? {
                        there if there.identity() == entry.netns => take_out(),
                        _ => Ok(PortSet::new()),
                    })
                };
                let left = entry.path.as_deref().map(there).transpose()?.flatten();
                left.unwrap_or_default()
            };
            if !left.is_empty() {
                all_left = all_left.union(&left);
                entry.ports = left;
                notes.protected.push(entry);
            }
        }
        notes.applied.clear();
        notes.pending.clear();
        if notes != before {
            self.store.save_notes(&notes)?;
        }
        drop(lock);
        Ok(all_left)
    }
}
