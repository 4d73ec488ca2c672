//! Leaving no trace in the settings of the kernel.

use crate::error::Error;
use crate::keeper::Keeper;
use crate::namespace::{Namespace, within};
use crate::port_set::PortSet;
use crate::scope::Scope;
use crate::sysctl;

impl Keeper {
    /// Takes what Portkeep has added to `ip_local_reserved_ports` out again, in all network
    /// namespaces that can be found. The store keeps its reservations.
    ///
    /// # Errors
    ///
    /// Those of the store and of the setting.
    pub fn withdraw(&self) -> Result<(), Error> {
        if !self.file().exists() {
            return Ok(());
        }
        let lock = self.store.lock()?;
        let mut document = self.store.load()?;
        let own = Namespace::current(Scope::Home)?;
        let before = document.clone();
        document.forget_the_past(&own.boot);
        for entry in &document.protected {
            let files = self.store.files();
            let nothing = PortSet::new();
            let take_out = || sysctl::change_protected(files, &nothing, &entry.ports);
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
        document.protected.clear();
        document.pending.clear();
        if document != before {
            self.store.save(&document)?;
        }
        drop(lock);
        Ok(())
    }
}
