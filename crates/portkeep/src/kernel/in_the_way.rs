//! Whose reservation is in the way, by the list of reservations.

use std::io;

use super::list;
use crate::types::{Conflict, ConflictKind, EntryKind, Error};

/// The cookie that the list has for what holds in every network namespace.
const EVERY_NETNS: u64 = 0;

/// Fills in who owns the reservation in the way, where `netns_cookie` is the cookie of the network
/// namespace of the refused socket. Done once, for errors that reach the caller.
pub(super) fn name_owner(
    mut error: Error,
    netns_cookie: impl FnOnce() -> io::Result<u64>,
) -> Error {
    if let Some(conflict) = error.conflict_mut()
        && let Ok(cookie) = netns_cookie()
    {
        complete(conflict, cookie);
    }
    error
}

/// Fills in the command, or those that are named, from the list of reservations, which a user may
/// be unable to reach.
///
/// `/proc/PID/comm` is not asked: the process id is one of the initial process namespace and may be
/// another process's here.
pub(super) fn complete(conflict: &mut Conflict, netns_cookie: u64) {
    let (ConflictKind::Reserved, Some(port), None) =
        (conflict.kind, conflict.port, &conflict.owner_command)
    else {
        return;
    };
    let found = list::list().unwrap_or_default().into_iter().find(|entry| {
        [netns_cookie, EVERY_NETNS].contains(&entry.netns_cookie)
            && entry.range.protocol() == conflict.protocol
            && entry.range.contains(port)
            && conflict.owner_pid.is_none_or(|pid| pid == entry.owner.pid)
    });
    match found {
        Some(entry) if entry.kind == EntryKind::Persistent => conflict.named = Some(entry.named),
        Some(entry) => conflict.owner_command = Some(entry.owner.command),
        None => {}
    }
}
