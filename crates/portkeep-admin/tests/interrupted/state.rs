//! Everything that persistent reservations are made of.

use std::collections::BTreeSet;
use std::fs;

use portkeep::EntryKind;
use portkeep_admin::{Keeper, Kind, PortSet, sysctl};

const PROTECTED: &str = "/proc/sys/net/ipv4/ip_local_reserved_ports";

/// The store's records, the kernel part's persistent reservations, and the protected ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    stored: BTreeSet<String>,
    kernel: BTreeSet<String>,
    protected: String,
}

impl State {
    pub fn of(keeper: &Keeper) -> State {
        let contents = keeper.contents().expect("read the store");
        let stored = contents.records().map(|(kind, record)| {
            let kind = match kind {
                Kind::Reservation => "reservation",
                Kind::Exclusion => "exclusion",
            };
            format!("{kind} {record:?}")
        });
        let persistent = portkeep::list()
            .expect("list")
            .into_iter()
            .filter(|entry| entry.kind == EntryKind::Persistent);
        State {
            stored: stored.collect(),
            kernel: persistent
                .map(|entry| format!("{} {:?}", entry.range, entry.named))
                .collect(),
            protected: sysctl::protected_ports()
                .expect("read the setting")
                .to_string(),
        }
    }

    /// Whether this is that state, but for ports that need no protection and have it all the same.
    pub fn is_kept(&self, old: &State) -> bool {
        let listed = |state: &State| state.protected.parse::<PortSet>().expect("ports");
        (&self.stored, &self.kernel) == (&old.stored, &old.kernel)
            && listed(old).difference(&listed(self)).is_empty()
    }
}

pub fn protect(list: &str) {
    fs::write(PROTECTED, format!("{list}\n")).expect("write the setting");
}

/// Ports of a list that are not protected now.
pub fn unprotected(list: &str) -> String {
    let list: PortSet = list.parse().expect("ports");
    let protected = sysctl::protected_ports().expect("read the setting");
    list.difference(&protected).to_string()
}
