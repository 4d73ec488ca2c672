//! A reservation in JSON.

use portkeep::{Backend, Consumer, Consumers, Entry, EntryKind, HeldEntry};
use portkeep_admin::{FleetTag, Record, group_name, user_name};
use serde::Serialize;

use crate::words::Moment;

/// A reservation in the JSON documents of `ls` and `why`.
#[derive(Debug, Serialize)]
pub struct ReservationDocument {
    /// What keeps it: `kernel` or `held`.
    backend: String,
    protocol: String,
    start: u16,
    end: u16,
    kind: &'static str,
    /// Null for a persistent reservation, like the next three: it has no owner.
    pid: Option<u32>,
    command: Option<String>,
    uid: Option<u32>,
    user: Option<String>,
    since: String,
    may_bind: &'static str,
    users: Vec<String>,
    groups: Vec<String>,
    cgroups: Vec<String>,
    comment: Option<String>,
    /// Of a fleet's reservation.
    fleet: Option<FleetDocument>,
    /// Null if it is held, like the next one.
    token: Option<u64>,
    socket_cookie: Option<u64>,
    netns_cookie: u64,
    every_netns: bool,
}

/// Which reservation of which fleet it is.
#[derive(Debug, Serialize)]
pub struct FleetDocument {
    fleet: String,
    kind: &'static str,
    id: String,
    generation: u64,
}

impl From<&FleetTag> for FleetDocument {
    fn from(tag: &FleetTag) -> Self {
        Self {
            fleet: tag.fleet.clone(),
            kind: if tag.grant { "grant" } else { "policy" },
            id: tag.id.clone(),
            generation: tag.generation,
        }
    }
}

impl ReservationDocument {
    /// `record` is its record in the store.
    pub fn new(entry: &Entry, record: Option<&Record>) -> Self {
        let owner = (entry.kind == EntryKind::Runtime).then_some(&entry.owner);
        let [users, groups, cgroups] = match record.filter(|record| !is_grant(record)) {
            Some(record) => [&record.users, &record.groups, &record.cgroups].map(Vec::clone),
            None => names(entry),
        };
        Self {
            backend: Backend::Kernel.to_string(),
            protocol: entry.range.protocol().to_string(),
            start: entry.range.start(),
            end: entry.range.end(),
            kind: kind(entry),
            pid: owner.map(|owner| owner.pid),
            command: owner.map(|owner| owner.command.clone()),
            uid: owner.map(|owner| owner.uid),
            user: owner.map(|owner| user_name(owner.uid)),
            since: Moment::before_now(entry.age()).rfc3339(),
            may_bind: may_bind(entry),
            users,
            groups,
            cgroups,
            comment: record.and_then(|record| record.comment.clone()),
            fleet: record.and_then(|record| record.fleet.as_ref().map(FleetDocument::from)),
            token: Some(entry.token.as_raw()),
            socket_cookie: Some(entry.socket_cookie),
            netns_cookie: entry.netns_cookie,
            every_netns: is_everywhere(entry),
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
            kind: RUNTIME,
            pid: Some(entry.owner.pid),
            command: Some(entry.owner.command.clone()),
            uid: Some(entry.owner.uid),
            user: Some(user_name(entry.owner.uid)),
            since: Moment::before_now(entry.age()).rfc3339(),
            may_bind: HELD,
            users: Vec::new(),
            groups: Vec::new(),
            cgroups: Vec::new(),
            comment: None,
            fleet: None,
            token: None,
            socket_cookie: None,
            netns_cookie: entry.netns_cookie,
            every_netns: false,
        }
    }
}

/// Who may bind in a grant changes with the job, so the kernel part knows better than the store.
fn is_grant(record: &Record) -> bool {
    record.fleet.as_ref().is_some_and(|tag| tag.grant)
}

/// In place of who may bind: the process that holds the ports by sockets decides that.
pub const HELD: &str = "held";

const RUNTIME: &str = "runtime";

/// The kind in one word.
pub fn kind(entry: &Entry) -> &'static str {
    match entry.kind {
        EntryKind::Runtime => RUNTIME,
        _ if is_exclusion(entry) => "exclusion",
        _ => "persistent",
    }
}

/// Whether everybody may bind, so the ports are only kept from automatic choice.
pub fn is_exclusion(entry: &Entry) -> bool {
    entry.kind == EntryKind::Persistent && entry.named.contains(&Consumer::EVERYBODY)
}

/// Whether it holds in every network namespace.
pub fn is_everywhere(entry: &Entry) -> bool {
    entry.netns_cookie == 0
}

/// Who may bind in the block without associating, in one word.
pub fn may_bind(entry: &Entry) -> &'static str {
    if is_exclusion(entry) {
        "everybody"
    } else if !entry.named.is_empty() {
        "consumers"
    } else if entry.consumers.contains(Consumers::USER) {
        "user"
    } else if entry.consumers.contains(Consumers::TREE) {
        "tree"
    } else if entry.consumers.contains(Consumers::PROCESS) {
        "process"
    } else {
        "associated"
    }
}

/// Who may bind, by name: for a persistent reservation as in `user asterisk, group voice`.
pub fn may_bind_in_words(entry: &Entry, record: Option<&Record>) -> String {
    if is_exclusion(entry) {
        return "everybody".to_owned();
    }
    if let Some(record) = record.filter(|record| record.has_consumers()) {
        return record.consumers_in_words();
    }
    if entry.named.is_empty() {
        return may_bind(entry).to_owned();
    }
    let [users, groups, cgroups] = names(entry);
    let named = |what: &str, names: Vec<String>| {
        names
            .into_iter()
            .map(|name| format!("{what} {name}"))
            .collect::<Vec<_>>()
    };
    [
        named("user", users),
        named("group", groups),
        named("cgroup", cgroups),
    ]
    .concat()
    .join(", ")
}

/// The users, groups and cgroups, the latter by number.
fn names(entry: &Entry) -> [Vec<String>; 3] {
    let mut names = [Vec::new(), Vec::new(), Vec::new()];
    for consumer in entry
        .named
        .iter()
        .filter(|named| **named != Consumer::EVERYBODY)
    {
        match *consumer {
            Consumer::User(uid) => names[0].push(user_name(uid)),
            Consumer::Group(gid) => names[1].push(group_name(gid)),
            Consumer::Cgroup(id) => names[2].push(id.to_string()),
            // The document has no fields for others.
            _ => {}
        }
    }
    names
}
