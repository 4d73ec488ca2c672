use std::fmt;
use std::time::Duration;

#[cfg(target_os = "linux")]
use super::abi::{self, ConflictRecord};
use super::consumer::Consumer;
use super::protocol::Protocol;

/// What was in the way of the last refused acquire or bind on a socket. Windows does not tell it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Conflict {
    /// The port in the way; `None` if it is no single one, as for a wildcard or the quota.
    pub port: Option<u16>,
    /// In which way.
    pub kind: ConflictKind,
    /// The protocol of the port.
    pub protocol: Protocol,
    /// The process in the way, by its id in the initial process namespace; `None` if unknown.
    ///
    /// Linux does not record which process holds a socket, so it is known for reservations only.
    pub owner_pid: Option<u32>,
    /// The user in the way, by its id in the initial user namespace. It says something only for
    /// [`ConflictKind::Reserved`] with a known process and for [`ConflictKind::InUse`], and is
    /// [`u32::MAX`] if it is unknown, as it may be without the kernel part.
    pub owner_uid: u32,
    /// The name of the command in the way, as far as the list of reservations tells it.
    pub owner_command: Option<String>,
    /// Those that the persistent reservation in the way names, which may bind there, as far as the list of reservations
    /// tells it; `None` if it is not a persistent one, or not to be found there.
    pub named: Option<Vec<Consumer>>,
    /// Since when, as time since boot, suspended time included; `None` if unknown.
    pub since: Option<Duration>,
}

/// No user: the kernel's `INVALID_UID`.
pub(crate) const UNKNOWN_USER: u32 = u32::MAX;

/// In which way a port, or a user's limit, is in the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ConflictKind {
    /// A reservation holds the port.
    Reserved,
    /// A socket is bound to the port, and is not merely in `TIME_WAIT`.
    InUse,
    /// The port is in the automatic range (`net.ipv4.ip_local_port_range`) and not in
    /// `net.ipv4.ip_local_reserved_ports`, so `connect(2)` may take it at any time.
    Automatic,
    /// The user's quota is used up.
    Quota,
    /// The port is below `net.ipv4.ip_unprivileged_port_start`, and the process lacks
    /// `CAP_NET_BIND_SERVICE`.
    NotPermitted,
    /// So many sockets share the port, or its place in the kernel's tables, that the look at them
    /// was broken off before it could tell whether the port is in use.
    CannotTell,
    /// The reservation that the socket is associated with has ended; the port is the first of its
    /// block.
    Ended,
    /// A kind that this version of the library does not know, by its number in the kernel ABI.
    Other(u8),
}

#[cfg(target_os = "linux")]
impl ConflictKind {
    fn from_number(number: u8) -> Option<ConflictKind> {
        Some(match number {
            abi::PORTKEEP_CONFLICT_NONE => return None,
            abi::PORTKEEP_CONFLICT_RESERVED => ConflictKind::Reserved,
            abi::PORTKEEP_CONFLICT_IN_USE => ConflictKind::InUse,
            abi::PORTKEEP_CONFLICT_AUTOMATIC => ConflictKind::Automatic,
            abi::PORTKEEP_CONFLICT_QUOTA => ConflictKind::Quota,
            abi::PORTKEEP_CONFLICT_NOT_PERMITTED => ConflictKind::NotPermitted,
            abi::PORTKEEP_CONFLICT_CANNOT_TELL => ConflictKind::CannotTell,
            abi::PORTKEEP_CONFLICT_ENDED => ConflictKind::Ended,
            other => ConflictKind::Other(other),
        })
    }

    /// The errno of a call that is refused for this reason.
    pub(crate) fn errno(self) -> Option<i32> {
        match self {
            ConflictKind::Reserved | ConflictKind::InUse => Some(libc::EADDRINUSE),
            ConflictKind::Automatic | ConflictKind::Ended => Some(libc::EADDRNOTAVAIL),
            ConflictKind::Quota => Some(libc::EDQUOT),
            ConflictKind::NotPermitted => Some(libc::EACCES),
            ConflictKind::CannotTell => Some(libc::ENOBUFS),
            ConflictKind::Other(_) => None,
        }
    }
}

#[cfg(target_os = "linux")]
impl Conflict {
    pub(crate) fn from_record(record: &ConflictRecord) -> Option<Conflict> {
        Some(Conflict {
            port: Some(record.port.get()).filter(|&port| port != 0),
            kind: ConflictKind::from_number(record.kind)?,
            protocol: Protocol::from_number(record.protocol.into())?,
            owner_pid: Some(record.owner_pid).filter(|&pid| pid != 0),
            owner_uid: record.owner_uid,
            owner_command: None,
            named: None,
            since: Some(record.since)
                .filter(|&since| since != 0)
                .map(Duration::from_nanos),
        })
    }
}

impl Conflict {
    /// The same text with names for numbers: `name` gives that of a user, a group or a cgroup, if it has
    /// one.
    ///
    /// The library asks no user database, which may load other libraries and wait for servers.
    #[must_use]
    pub fn with_names(&self, name: impl Fn(Consumer) -> Option<String>) -> String {
        let port = match self.port {
            Some(port) => format!("port {port}/{}", self.protocol),
            None => format!("a {} port", self.protocol),
        };
        let called = |consumer| match (consumer, name(consumer)) {
            (Consumer::User(_), Some(name)) => format!("user {name}"),
            (Consumer::Group(_), Some(name)) => format!("group {name}"),
            (Consumer::Cgroup(_), Some(name)) => format!("cgroup {name}"),
            (Consumer::User(uid), None) => format!("user {uid}"),
            (Consumer::Group(gid), None) => format!("group {gid}"),
            (Consumer::Cgroup(id), None) => format!("cgroup {id}"),
        };
        let user = called(Consumer::User(self.owner_uid));
        match (self.kind, &self.named, self.owner_pid) {
            (ConflictKind::Reserved, Some(consumers), _) => {
                format!("{port} is {}", persistent_words(consumers, called))
            }
            (ConflictKind::Reserved, None, Some(pid)) => {
                let command = self.owner_command.as_ref();
                let command = command.map(|it| format!(" ({it})")).unwrap_or_default();
                format!("{port} is reserved by process {pid}{command}, {user}")
            }
            // Without a process the kernel part met the reservation as it was made or ended.
            (ConflictKind::Reserved, None, None) => format!("{port} is reserved"),
            (ConflictKind::InUse, ..) if self.owner_uid == UNKNOWN_USER => {
                format!("{port} is in use")
            }
            (ConflictKind::InUse, ..) => format!("{port} is in use by a socket of {user}"),
            (ConflictKind::Automatic, ..) => {
                format!("{port} is an automatic port, which any connect() may take")
            }
            (ConflictKind::Quota, ..) => format!("{port} is beyond the user's quota"),
            (ConflictKind::NotPermitted, ..) => format!("{port} is privileged"),
            (ConflictKind::CannotTell, ..) => format!(
                "{port} may be in use: too many sockets share its place in the kernel's tables to tell"
            ),
            (ConflictKind::Ended, ..) => {
                format!("{port} belongs to a reservation that has ended")
            }
            (ConflictKind::Other(number), ..) => format!("{port} is refused (kind {number})"),
        }
    }
}

/// As in `port 61003/tcp is reserved by process 1234 (postgres), user 1000`.
impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.with_names(|_| None))
    }
}

/// As in `reserved for user 1000, group 44`.
fn persistent_words(consumers: &[Consumer], called: impl Fn(Consumer) -> String) -> String {
    if consumers.contains(&Consumer::EVERYBODY) {
        return "excluded from being reserved".to_owned();
    }
    if consumers.is_empty() {
        return "reserved for associated sockets of administrators".to_owned();
    }
    let called: Vec<_> = consumers.iter().copied().map(called).collect();
    format!("reserved for {}", called.join(", "))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use crate::types::abi::Be16;

    fn record(kind: u8) -> ConflictRecord {
        ConflictRecord {
            port: Be16::new(61003),
            kind,
            protocol: 6,
            owner_pid: 1234,
            owner_uid: 1000,
            reserved: 0,
            since: 1_500_000_000,
        }
    }

    #[test]
    fn from_the_record_of_a_reservation() {
        let mut conflict = Conflict::from_record(&record(1)).expect("a conflict");
        assert_eq!(conflict.kind, ConflictKind::Reserved);
        assert_eq!(conflict.port, Some(61003));
        assert_eq!(conflict.protocol, Protocol::Tcp);
        assert_eq!(conflict.owner_pid, Some(1234));
        assert_eq!(conflict.since, Some(Duration::from_millis(1500)));
        let nameless = "port 61003/tcp is reserved by process 1234, user 1000";
        assert_eq!(conflict.to_string(), nameless);
        conflict.owner_command = Some("postgres".to_owned());
        let named = "port 61003/tcp is reserved by process 1234 (postgres), user 1000";
        assert_eq!(conflict.to_string(), named);
        for (consumers, words) in [
            (vec![], "reserved for associated sockets of administrators"),
            (
                vec![Consumer::User(5), Consumer::Group(44), Consumer::Cgroup(7)],
                "reserved for user 5, group 44, cgroup 7",
            ),
            (vec![Consumer::EVERYBODY], "excluded from being reserved"),
        ] {
            conflict.named = Some(consumers);
            assert_eq!(conflict.to_string(), format!("port 61003/tcp is {words}"));
        }
        conflict.named = Some(vec![Consumer::User(5), Consumer::Group(44)]);
        let name = |consumer| (consumer == Consumer::User(5)).then(|| "games".to_owned());
        assert_eq!(
            conflict.with_names(name),
            "port 61003/tcp is reserved for user games, group 44"
        );
    }

    #[test]
    fn from_records_that_tell_little() {
        assert_eq!(Conflict::from_record(&ConflictRecord::default()), None);
        assert_eq!(
            Conflict::from_record(&ConflictRecord {
                protocol: 0,
                ..record(1)
            }),
            None
        );
        let ending = ConflictRecord {
            owner_pid: 0,
            owner_uid: 0,
            since: 0,
            ..record(1)
        };
        let ending = Conflict::from_record(&ending).expect("a conflict");
        assert_eq!(ending.to_string(), "port 61003/tcp is reserved");
        let in_use = ConflictRecord {
            owner_pid: 0,
            since: 0,
            ..record(2)
        };
        let in_use = Conflict::from_record(&in_use).expect("a conflict");
        assert_eq!((in_use.owner_pid, in_use.since), (None, None));
        assert_eq!(
            in_use.to_string(),
            "port 61003/tcp is in use by a socket of user 1000"
        );
        let later = Conflict::from_record(&record(200)).expect("a conflict");
        assert_eq!(later.kind, ConflictKind::Other(200));
    }
}
