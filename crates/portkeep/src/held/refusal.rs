//! From a refused bind of a holder to the error that explains it.

use std::io;

use crate::held::{proc_net, record};
use crate::netns;
use crate::types::{Conflict, ConflictKind, Error, ErrorKind, Protocol, UNKNOWN_USER};

/// Why a port cannot be held.
pub(super) fn of_holder(error: io::Error, protocol: Protocol, port: u16) -> Error {
    let conflict = |kind, owner_uid| Conflict {
        port: Some(port),
        kind,
        protocol,
        owner_pid: None,
        owner_uid,
        owner_command: None,
        named: None,
        since: None,
    };
    let (kind, errno, conflict) = match error.raw_os_error() {
        Some(errno @ libc::EADDRINUSE) => {
            let in_the_way = reserved(protocol, port).unwrap_or_else(|| {
                conflict(
                    ConflictKind::InUse,
                    user_at(protocol, port).unwrap_or(UNKNOWN_USER),
                )
            });
            let kind = match in_the_way.kind {
                ConflictKind::Reserved => ErrorKind::Reserved,
                _ => ErrorKind::InUse,
            };
            (kind, errno, in_the_way)
        }
        Some(errno @ libc::EACCES) => (
            ErrorKind::NotPermitted,
            errno,
            conflict(ConflictKind::NotPermitted, UNKNOWN_USER),
        ),
        Some(errno @ (libc::EMFILE | libc::ENFILE)) => {
            let message = format!("holding port {port}/{protocol} failed: {error}");
            return Error::new(ErrorKind::DescriptorLimit, errno, message);
        }
        _ => return Error::from_call(&format!("holding port {port}/{protocol}"), error),
    };
    Error::with_conflict(kind, errno, String::new(), Some(conflict))
}

/// The held reservation of this user in the way.
fn reserved(protocol: Protocol, port: u16) -> Option<Conflict> {
    let netns = netns::netns_cookie().ok()?;
    let entry = record::list().into_iter().find(|entry| {
        entry.netns_cookie == netns
            && entry.range.protocol() == protocol
            && entry.range.contains(port)
    })?;
    Some(Conflict {
        port: Some(port),
        kind: ConflictKind::Reserved,
        protocol,
        owner_pid: Some(entry.owner.pid),
        owner_uid: entry.owner.uid,
        owner_command: Some(entry.owner.command),
        named: None,
        since: Some(entry.since),
    })
}

/// The user of a socket at a port, where the kernel lists it: neither bound TCP sockets nor those
/// of other namespaces are listed.
fn user_at(protocol: Protocol, port: u16) -> Option<u32> {
    let mut listed = proc_net::sockets(protocol).into_iter();
    listed.find(|it| it.port == port).map(|it| it.uid)
}
