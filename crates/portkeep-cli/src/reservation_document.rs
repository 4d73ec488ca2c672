//! A reservation in JSON.

use portkeep::{Backend, Consumers, Entry, HeldEntry};
use serde::Serialize;

use crate::clock::Moment;
use crate::users;

/// A reservation as the JSON documents of `ls` and `why` have it.
#[derive(Debug, Serialize)]
pub struct ReservationDocument {
    /// What keeps it, `kernel` or `held`.
    backend: String,
    protocol: String,
    start: u16,
    end: u16,
    pid: u32,
    command: String,
    uid: u32,
    user: String,
    since: String,
    may_bind: &'static str,
    /// Null if it is held, as the next one.
    token: Option<u64>,
    socket_cookie: Option<u64>,
    netns_cookie: u64,
}

impl From<&Entry> for ReservationDocument {
    fn from(entry: &Entry) -> Self {
        Self {
            backend: Backend::Kernel.to_string(),
            protocol: entry.range.protocol().to_string(),
            start: entry.range.start(),
            end: entry.range.end(),
            pid: entry.owner.pid,
            command: entry.owner.command.clone(),
            uid: entry.owner.uid,
            user: users::name(entry.owner.uid),
            since: Moment::before_now(entry.age()).rfc3339(),
            may_bind: may_bind(entry.consumers),
            token: Some(entry.token.as_raw()),
            socket_cookie: Some(entry.socket_cookie),
            netns_cookie: entry.netns_cookie,
        }
    }
}

impl From<&HeldEntry> for ReservationDocument {
    fn from(entry: &HeldEntry) -> Self {
        Self {
            backend: Backend::Held.to_string(),
            protocol: entry.range.protocol().to_string(),
            start: entry.range.start(),
            end: entry.range.end(),
            pid: entry.owner.pid,
            command: entry.owner.command.clone(),
            uid: entry.owner.uid,
            user: users::name(entry.owner.uid),
            since: Moment::before_now(entry.age()).rfc3339(),
            may_bind: HELD,
            token: None,
            socket_cookie: None,
            netns_cookie: entry.netns_cookie,
        }
    }
}

/// Where a list says who may bind: the process that holds the ports by sockets lets in whom it will.
pub const HELD: &str = "held";

/// Who may bind in the block without associating, in a word.
pub fn may_bind(consumers: Consumers) -> &'static str {
    if consumers.contains(Consumers::TREE) {
        "tree"
    } else if consumers.contains(Consumers::PROCESS) {
        "process"
    } else {
        "associated"
    }
}
