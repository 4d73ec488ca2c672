//! The machine's own Portkeep, which a sandbox is not out of reach of where it is enabled at the root
//! cgroup.

use std::sync::OnceLock;

use crate::{raw, skip, sock};

static SERVED: OnceLock<bool> = OnceLock::new();

/// Looks, before the body can have enabled anything itself, whether somebody answers already.
pub(crate) fn look() {
    SERVED.get_or_init(|| raw::version(sock::udp4()).is_ok());
}

/// Ends the trial as ignored where the machine's own Portkeep serves its sandbox, too. For trials of
/// what a process meets without the kernel part. Not for children.
pub fn without_portkeep() {
    if SERVED.get() == Some(&true) {
        skip("needs a machine where Portkeep is not enabled, or not at this cgroup or above it");
    }
}

/// Why root trials cannot run beside what the machine's own Portkeep keeps, or `None` if they can.
/// Its other reservations are no matter: a sandbox has a network namespace of its own.
pub(crate) fn in_the_way() -> Option<String> {
    static REASON: OnceLock<Option<String>> = OnceLock::new();
    let find = || {
        let list = portkeep::list().ok()?;
        let entry = list.iter().find(|entry| entry.netns_cookie == 0)?;
        Some(format!(
            "the machine's Portkeep keeps {} in every network namespace",
            entry.range
        ))
    };
    REASON.get_or_init(find).clone()
}
