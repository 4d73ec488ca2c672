//! The iterator file `<bpffs>/portkeep/reservations`, read without the crate `portkeep`.

use std::fs;
use std::ops::RangeInclusive;

use crate::Sandbox;

/// A transport protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// A line of the iterator file `reservations`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reservation {
    /// The protocol.
    pub protocol: Protocol,
    /// The ports.
    pub ports: RangeInclusive<u16>,
    /// `-`, `process`, `tree` or `process,tree`.
    pub flags: String,
    /// The owner's process id in the initial namespace.
    pub pid: u32,
    /// The owner's user id in the initial namespace.
    pub uid: u32,
    /// The owner's command name when it acquired.
    pub command: String,
    /// `CLOCK_BOOTTIME` of the acquire in nanoseconds.
    pub since: u64,
    /// The token.
    pub token: u64,
    /// `SO_COOKIE` of the acquiring socket.
    pub socket: u64,
    /// `SO_NETNS_COOKIE` of the network namespace.
    pub netns: u64,
    /// `runtime` or `persistent`.
    pub lifetime: String,
    /// `-`, or as `uid:1000,gid:44,cgroup:1234`.
    pub consumers: String,
}

const HEADER: &str =
    "PROTOCOL PORTS FLAGS PID UID COMMAND SINCE TOKEN SOCKET NETNS LIFETIME CONSUMERS";

/// All reservations of the sandbox's kernel part, in whatever network namespace.
#[must_use]
pub fn list(sandbox: &Sandbox) -> Vec<Reservation> {
    let path = sandbox.bpffs().join("portkeep/reservations");
    let text = fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("read {}: {error}", path.display()));
    parse(&text)
}

fn parse(text: &str) -> Vec<Reservation> {
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some(HEADER), "the header of the reservations");
    lines
        .map(|line| parse_line(line).unwrap_or_else(|| panic!("not a reservation: {line:?}")))
        .collect()
}

fn parse_line(line: &str) -> Option<Reservation> {
    let columns: Vec<_> = line.split(' ').collect();
    let [
        protocol,
        ports,
        flags,
        pid,
        uid,
        command,
        since,
        token,
        socket,
        netns,
        lifetime,
        consumers,
    ] = columns.try_into().ok()?;
    let (start, end) = ports.split_once('-')?;
    Some(Reservation {
        protocol: match protocol {
            "tcp" => Protocol::Tcp,
            "udp" => Protocol::Udp,
            _ => return None,
        },
        ports: start.parse().ok()?..=end.parse().ok()?,
        flags: flags.into(),
        pid: pid.parse().ok()?,
        uid: uid.parse().ok()?,
        command: command.into(),
        since: since.parse().ok()?,
        token: token.parse().ok()?,
        socket: socket.parse().ok()?,
        netns: netns.parse().ok()?,
        lifetime: lifetime.into(),
        consumers: consumers.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::{HEADER, Protocol, parse, parse_line};

    const LINE: &str =
        "tcp 61000-61063 process,tree 1234 1000 postgres 123456789012 7 42 1 runtime -";

    #[test]
    fn reads_every_column() {
        let list = parse(&format!("{HEADER}\n{LINE}\n"));
        let [line] = list.as_slice() else {
            panic!("{list:?}")
        };
        assert_eq!(
            (line.protocol, line.ports.clone()),
            (Protocol::Tcp, 61000..=61063)
        );
        assert_eq!(
            (line.flags.as_str(), line.command.as_str()),
            ("process,tree", "postgres")
        );
        assert_eq!(
            (line.pid, line.uid, line.since),
            (1234, 1000, 123_456_789_012)
        );
        assert_eq!((line.token, line.socket, line.netns), (7, 42, 1));
        assert_eq!(
            (line.lifetime.as_str(), line.consumers.as_str()),
            ("runtime", "-")
        );
    }

    #[test]
    fn refuses_other_lines() {
        for line in [
            "",
            "tcp 1-2",
            &format!("{LINE} 1"),
            &LINE.replace("tcp", "sctp"),
        ] {
            assert_eq!(parse_line(line), None, "{line:?}");
        }
    }
}
