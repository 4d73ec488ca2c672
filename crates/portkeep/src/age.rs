//! How long what is listed has been there.

use std::time::Duration;

use crate::system::time_since_boot;
use crate::types::{Conflict, Entry, HeldEntry};

impl Entry {
    /// How long the reservation has existed.
    pub fn age(&self) -> Duration {
        time_since_boot().saturating_sub(self.since)
    }
}

impl HeldEntry {
    /// How long the reservation has existed.
    pub fn age(&self) -> Duration {
        time_since_boot().saturating_sub(self.since)
    }
}

impl Conflict {
    /// How long the port has been taken; `None` if unknown.
    pub fn age(&self) -> Option<Duration> {
        self.since
            .map(|since| time_since_boot().saturating_sub(since))
    }
}
