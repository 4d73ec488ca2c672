//! A reservation in JSON.

use portkeep::{Consumers, Entry};
use serde::Serialize;

use crate::clock::Moment;
use crate::users;

/// A reservation as the JSON documents of `ls` and `why` have it.
#[derive(Debug, Serialize)]
pub struct ReservationDocument {
    protocol: String,
    start: u16,
    end: u16,
    pid: u32,
    command: String,
    uid: u32,
    user: String,
    since: String,
    may_bind: &'static str,
    token: u64,
    socket_cookie: u64,
    netns_cookie: u64,
}

impl From<&Entry> for ReservationDocument {
    fn from(entry: &Entry) -> Self {
        Self {
            protocol: entry.range.protocol().to_string(),
            start: entry.range.start(),
            end: entry.range.end(),
            pid: entry.owner.pid,
            command: entry.owner.command.clone(),
            uid: entry.owner.uid,
            user: users::name(entry.owner.uid),
            since: Moment::before_now(entry.age()).rfc3339(),
            may_bind: may_bind(entry.consumers),
            token: entry.token.as_raw(),
            socket_cookie: entry.socket_cookie,
            netns_cookie: entry.netns_cookie,
        }
    }
}

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
