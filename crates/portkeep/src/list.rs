use std::io;
use std::str::FromStr;
use std::time::Duration;

use crate::bpffs::{self, OpenError};
use crate::consumer::{self, Consumer};
use crate::consumers::Consumers;
use crate::error::{Error, ErrorKind};
use crate::port_range::{ParseError, PortRange};
use crate::sys;
use crate::token::Token;

/// A reservation, as the kernel part lists it. Its text form, which `FromStr` parses, is a line of
/// the list.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Entry {
    /// The ports.
    pub range: PortRange,
    /// Who may bind there without associating.
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
    /// Who may bind in a persistent reservation without associating, by their ids in the initial
    /// user namespace.
    pub who: Vec<Consumer>,
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

impl Entry {
    /// How long the reservation has existed.
    pub fn age(&self) -> Duration {
        sys::time_since_boot().saturating_sub(self.since)
    }
}

/// The reservations in all network namespaces, in no order. Every user may ask.
///
/// The list is the file `portkeep/reservations` in the bpf file system; see [`bpffs`].
///
/// # Errors
///
/// [`ErrorKind::NotEnabled`]; [`ErrorKind::ListUnavailable`] if the kernel part is there but the
/// file is not, may not be read or does not have the known form; [`ErrorKind::ListUntrusted`] if
/// somebody else than root has made what is there, or can change it.
pub fn list() -> Result<Vec<Entry>, Error> {
    let Some(mount) = bpffs::mount_point() else {
        let error = io::Error::from_raw_os_error(libc::ENOENT);
        let message = format!("no bpf file system is mounted: {error}");
        return Err(unavailable(error.raw_os_error(), message));
    };
    let text = bpffs::read_list(&mount).map_err(|error| match &error {
        OpenError::Untrusted(..) => {
            Error::new(ErrorKind::ListUntrusted, libc::EPERM, error.to_string())
        }
        OpenError::System(_, cause) => unavailable(cause.raw_os_error(), error.to_string()),
        OpenError::NotBpf(_) => unavailable(Some(libc::ENOENT), error.to_string()),
    })?;
    parse(&text).map_err(|error| {
        Error::new(
            ErrorKind::ListUnavailable,
            None,
            format!("the list of reservations is malformed: {error}"),
        )
    })
}

/// Tells a kernel part that is not there from one whose file is out of reach.
fn unavailable(errno: Option<i32>, message: String) -> Error {
    if let Err(not_enabled) = crate::version()
        && not_enabled.kind() == ErrorKind::NotEnabled
    {
        return not_enabled;
    }
    Error::new(ErrorKind::ListUnavailable, errno, message)
}

fn parse(text: &[u8]) -> Result<Vec<Entry>, ParseError> {
    let text = std::str::from_utf8(text).map_err(|_| ParseError::Line)?;
    let mut lines = text.lines();
    match lines.next() {
        Some(header) if header.starts_with(HEADER) => lines.map(str::parse).collect(),
        _ => Err(ParseError::Line),
    }
}

/// The columns of version 1; a later version adds its own at the end.
const HEADER: &str =
    "PROTOCOL PORTS FLAGS PID UID COMMAND SINCE TOKEN SOCKET NETNS LIFETIME CONSUMERS";

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
            who: consumer::from_column(next()?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Protocol;
    use proptest::prelude::*;

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
        assert_eq!((entry.kind, entry.who), (EntryKind::Runtime, vec![]));
    }

    #[test]
    fn a_persistent_line() {
        let line = "udp 53-53 - 0 0 portkeep 5 6 0 0 persistent uid:1000,gid:44,cgroup:1";
        let entry: Entry = line.parse().expect("a line");
        assert_eq!(entry.kind, EntryKind::Persistent);
        let who = [
            Consumer::User(1000),
            Consumer::Group(44),
            Consumer::EVERYBODY,
        ];
        assert_eq!((entry.who.as_slice(), entry.netns_cookie), (&who[..], 0));
    }

    #[test]
    fn later_versions_add_columns_at_the_end() {
        let text = format!("{HEADER} MORE\n{LINE} 5\n");
        let entries = parse(text.as_bytes()).expect("a list");
        assert_eq!(entries, [LINE.parse().expect("a line")]);
    }

    #[test]
    fn an_empty_list() {
        assert_eq!(parse(format!("{HEADER}\n").as_bytes()), Ok(Vec::new()));
    }

    #[test]
    fn malformed() {
        assert_eq!(parse(b""), Err(ParseError::Line));
        assert_eq!(parse(LINE.as_bytes()), Err(ParseError::Line));
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

    proptest! {
        #[test]
        fn any_bytes(bytes: Vec<u8>) {
            prop_assert!(parse(&bytes).is_err());
            let with_header = [HEADER.as_bytes(), b"\n", &bytes].concat();
            if let Ok(entries) = parse(&with_header) {
                prop_assert!(entries.len() <= bytes.len());
            }
        }

        #[test]
        fn a_line_with_any_column_changed(column in 0..12_usize, text in "[ -~]{0,24}") {
            let mut columns: Vec<&str> = LINE.split(' ').collect();
            columns[column] = &text;
            if let Ok(entry) = columns.join(" ").parse::<Entry>() {
                prop_assert!(entry.range.start() <= entry.range.end());
            }
        }
    }
}
