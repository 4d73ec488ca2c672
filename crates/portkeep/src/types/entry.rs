use std::str::FromStr;
use std::time::Duration;

use super::consumer::Consumer;
use super::consumers::Consumers;
use super::parse_error::ParseError;
use super::port_range::PortRange;
use super::token::Token;

/// A reservation, as the kernel part lists it. Its text form, which `FromStr` parses, is a line of
/// the list.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Entry {
    /// The ports.
    pub range: PortRange,
    /// Who may bind there without associating: the owning process, or its descendants too, as
    /// [`Acquire::consumers`](crate::Acquire::consumers) has set. A persistent reservation
    /// has no owning process; see [`named`](Entry::named).
    pub consumers: Consumers,
    /// Who acquired or last claimed it. A persistent reservation has no process, and the user of it
    /// is the first consumer that is one, else who created it.
    pub owner: Owner,
    /// When it was acquired, as time since boot, suspended time included (`CLOCK_BOOTTIME`).
    pub since: Duration,
    /// The kernel's name for it.
    pub token: Token,
    /// The acquiring socket (`SO_COOKIE`); 0 if it was never asked for its cookie before it
    /// acquired, as this crate does.
    pub socket_cookie: u64,
    /// The network namespace (`SO_NETNS_COOKIE`); 0 if it holds in every one.
    pub netns_cookie: u64,
    /// How long it lasts.
    pub kind: EntryKind,
    /// Those that a persistent reservation names: users, groups and cgroups that may bind without
    /// associating, by their ids in the initial user namespace. A reservation of a process names
    /// none; see [`consumers`](Entry::consumers).
    pub named: Vec<Consumer>,
}

/// How long a reservation lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EntryKind {
    /// Until its acquiring socket is closed.
    Runtime,
    /// Until it is deleted, or the next boot.
    Persistent,
}

/// The process that owns a reservation.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Owner {
    /// The process id in the initial process namespace.
    pub pid: u32,
    /// The user id in the initial user namespace.
    pub uid: u32,
    /// The command's name when it acquired; what is not printable ASCII, and a space, is `_`.
    pub command: String,
}
/// A reservation that a process of this user holds by sockets.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HeldEntry {
    /// The ports.
    pub range: PortRange,
    /// The process that acquired it, by its id in the caller's process namespace.
    pub owner: Owner,
    /// When it was acquired, as time since boot, suspended time included (`CLOCK_BOOTTIME`).
    pub since: Duration,
    /// The network namespace (`SO_NETNS_COOKIE`).
    pub netns_cookie: u64,
}

impl FromStr for Entry {
    type Err = ParseError;

    fn from_str(line: &str) -> Result<Entry, ParseError> {
        fn number<T: FromStr>(column: &str) -> Result<T, ParseError> {
            column.parse().map_err(|_| ParseError::Line)
        }
        let mut columns = line.split(' ');
        let mut next = || columns.next().ok_or(ParseError::Line);
        let (protocol, ports) = (next()?, next()?);
        Ok(Entry {
            range: format!("{ports}/{protocol}").parse()?,
            consumers: Consumers::from_column(next()?),
            owner: Owner {
                pid: number(next()?)?,
                uid: number(next()?)?,
                command: next()?.to_owned(),
            },
            since: Duration::from_nanos(number(next()?)?),
            token: next()?.parse()?,
            socket_cookie: number(next()?)?,
            netns_cookie: number(next()?)?,
            kind: match next()? {
                "runtime" => EntryKind::Runtime,
                "persistent" => EntryKind::Persistent,
                _ => return Err(ParseError::Line),
            },
            named: Consumer::from_column(next()?),
        })
    }
}
#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Protocol;

    const LINE: &str = "tcp 61000-61063 process,tree 1234 1000 postgres 123456789012 4294967297 42 1 \
         runtime -";

    #[test]
    fn a_line() {
        let entry: Entry = LINE.parse().expect("a line");
        assert_eq!(
            entry.range,
            PortRange::new(Protocol::Tcp, 61000, 61063).expect("a range")
        );
        assert_eq!(entry.consumers, Consumers::PROCESS | Consumers::TREE);
        let owner = Owner {
            pid: 1234,
            uid: 1000,
            command: "postgres".to_owned(),
        };
        assert_eq!(entry.owner, owner);
        assert_eq!(entry.since, Duration::from_nanos(123_456_789_012));
        assert_eq!(entry.token.as_raw(), 4_294_967_297);
        assert_eq!((entry.socket_cookie, entry.netns_cookie), (42, 1));
        assert_eq!((entry.kind, entry.named), (EntryKind::Runtime, vec![]));
    }

    #[test]
    fn a_persistent_line() {
        let line = "udp 53-53 - 0 0 portkeep 5 6 0 0 persistent uid:1000,gid:44,cgroup:1";
        let entry: Entry = line.parse().expect("a line");
        assert_eq!(entry.kind, EntryKind::Persistent);
        let named = [
            Consumer::User(1000),
            Consumer::Group(44),
            Consumer::EVERYBODY,
        ];
        assert_eq!(
            (entry.named.as_slice(), entry.netns_cookie),
            (&named[..], 0)
        );
    }

    #[test]
    fn malformed() {
        for (column, bad) in [
            ("tcp", "sctp"),
            ("61000-61063", "61063-61000"),
            ("1234", "x"),
            ("1000", "-1"),
            ("4294967297", "0"),
            (" 42 1 runtime", " 42 1 forever"),
            (" 42 1 runtime -", " 42"),
        ] {
            let line = LINE.replacen(column, bad, 1);
            assert!(line.parse::<Entry>().is_err(), "{line:?}");
        }
    }
}
