//! Leaving no trace in the settings of the kernel.

use crate::error::Error;
use crate::keeper::Keeper;
use crate::namespace::{Namespace, within};
use crate::scope::Scope;
use crate::sysctl;

impl Keeper {
    /// Takes what Portkeep has added to `ip_local_reserved_ports` out again, in all network
    /// namespaces that can be found. The store keeps its reservations, whether or not they can be
    /// understood.
    ///
    /// # Errors
    ///
    /// Those of the store and of the setting.
    pub fn withdraw(&self) -> Result<(), Error> {
        if !self.file().exists() && !self.notes_file().exists() {
            return Ok(());
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
        for entry in &notes.protected {
            let files = self.store.files();
            let take_out = || sysctl::remove_protected(files, &entry.ports);
            if entry.netns == own.identity() {
                take_out()?;
            } else if let Some(path) = &entry.path {
                within(path, || {
                    let there = Namespace::current(Scope::Home)?;
                    if there.identity() == entry.netns {
                        take_out()?;
                    }
                    Ok(())
                })?;
            }
        }
        notes.protected.clear();
        notes.applied.clear();
        notes.pending.clear();
        if notes != before {
            self.store.save_notes(&notes)?;
        }
        drop(lock);
        Ok(())
    }
}
