//! How the operator wants the kernel part installed, over upgrades, removals and reboots.

use crate::error::Error;
use crate::store::keeper::Keeper;
use crate::store::notes::Settings;

impl Keeper {
    /// What `enable` was told so far.
    ///
    /// # Errors
    ///
    /// If the notes cannot be read or understood. There need not be any.
    pub fn settings(&self) -> Result<Settings, Error> {
        let notes = self.store.notes()?;
        Ok(notes.map(|notes| notes.settings).unwrap_or_default())
    }

    /// Notes what it was told now. Makes no store where there is nothing to note.
    ///
    /// # Errors
    ///
    /// Those of the notes.
    pub fn set_settings(&self, settings: &Settings) -> Result<(), Error> {
        if self.settings()? == *settings {
            return Ok(());
        }
        let _lock = self.store.lock()?;
        // Before the notes had a file of their own they were in the store.
        let mut notes = match self.store.notes()? {
            Some(notes) => notes,
            None => self.store.load()?.notes,
        };
        notes.settings.clone_from(settings);
        self.store.save_notes(&notes)
    }
}
