//! Acquires that must be refused, through the bare ABI and through the library.

use std::fs;
use std::time::Instant;

use portkeep::{Consumers, ErrorKind, sockopt};
use portkeep_tests::socket2::Socket;
use portkeep_tests::{
    Protocol, Sandbox, assert_ok, expect_errno, libc, ports, raw, reservations, sock,
};

use crate::holder::socket;
use crate::ledger::unchanged;

/// No refusal has been recorded.
pub(crate) const NONE: raw::Conflict = raw::Conflict {
    port: 0,
    kind: 0,
    protocol: 0,
    owner_pid: 0,
    owner_uid: 0,
    reserved: 0,
    since: 0,
};

/// A port that no request of these trials contains.
const EARLIER: u16 = 20000;

/// An acquire.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request {
    pub(crate) protocol: Protocol,
    pub(crate) start: u16,
    pub(crate) count: u16,
    pub(crate) align: u16,
}

impl Request {
    pub(crate) fn new(protocol: Protocol, start: u16, count: u16) -> Self {
        Self {
            protocol,
            start,
            count,
            align: 0,
        }
    }

    pub(crate) fn align(self, align: u16) -> Self {
        Self { align, ..self }
    }

    /// Asserts the refusal from every way in, on a socket that holds a reservation and on new
    /// ones. Every reservation stays, and so does the one that reading the socket tells. Returns
    /// the record of what was in the way.
    #[track_caller]
    pub(crate) fn refused(self, sandbox: &Sandbox, errno: i32, kind: ErrorKind) -> raw::Conflict {
        let socket = socket(self.protocol);
        let earlier = assert_ok!(raw::acquire(&socket, EARLIER, 1));
        assert_eq!(assert_ok!(raw::conflict(&socket)), NONE);
        let conflict = unchanged(sandbox, || {
            expect_errno(self.raw(&socket), errno, &format!("{self:?}"));
            let conflict = assert_ok!(raw::conflict(&socket));
            self.refused_by_library(&socket, errno, kind, conflict);
            assert_eq!(
                assert_ok!(raw::conflict(&socket)),
                conflict,
                "the second time"
            );
            assert_eq!(raw::instance(&socket), Ok(earlier));
            conflict
        });
        assert_ok!(raw::release(&socket, earlier.token));
        conflict
    }

    fn raw(self, socket: &Socket) -> Result<(), i32> {
        if self.align == 0 {
            raw::acquire4(socket, self.start, self.count)
        } else {
            raw::acquire16(socket, self.start, self.count, 0, self.align)
        }
    }

    #[track_caller]
    fn refused_by_library(
        self,
        socket: &Socket,
        errno: i32,
        kind: ErrorKind,
        conflict: raw::Conflict,
    ) {
        let none = Consumers::ASSOCIATED;
        let first = sockopt::acquire(socket, self.start, self.count, none, self.align)
            .map(drop)
            .expect_err("refused through the library's function");
        // A range past the last port cannot even be written down.
        let second = self.builder().map(|builder| {
            builder
                .acquire()
                .map(drop)
                .expect_err("refused through the library's builder")
        });
        for error in [first].into_iter().chain(second) {
            assert_eq!(
                (error.kind(), error.errno()),
                (kind, Some(errno)),
                "{error}"
            );
            assert_same(error.conflict(), conflict);
            assert!(!error.to_string().is_empty());
            assert_eq!(
                error.hint().is_some(),
                kind != ErrorKind::InvalidInput,
                "{error}"
            );
            if conflict.port != 0 {
                let port = format!("port {}/", conflict.port);
                assert!(error.to_string().contains(&port), "{error}");
            }
        }
    }

    fn builder(self) -> Option<portkeep::Acquire> {
        // By default sockets would hold an automatic port.
        let builder = portkeep::Reservation::builder().backend(portkeep::Backend::Kernel);
        let builder = builder.protocol(match self.protocol {
            Protocol::Tcp => portkeep::Protocol::Tcp,
            Protocol::Udp => portkeep::Protocol::Udp,
        });
        let builder = if self.align == 0 {
            builder
        } else {
            builder.align(self.align)
        };
        if self.start == 0 || self.count == 0 {
            return Some(builder.count(self.count));
        }
        let end = self.start.checked_add(self.count - 1)?;
        Some(builder.range(self.start..=end))
    }
}

/// Asserts that the library's conflict says what the kernel part's record says.
#[track_caller]
fn assert_same(conflict: Option<&portkeep::Conflict>, record: raw::Conflict) {
    let Some(conflict) = conflict else {
        assert_eq!(record.port, 0, "the library leaves out {record:?}");
        return;
    };
    assert_eq!(conflict.port, Some(record.port));
    assert_eq!(conflict.owner_pid.unwrap_or_default(), record.owner_pid);
    assert_eq!(conflict.owner_uid, record.owner_uid);
    assert_eq!(conflict.protocol.number(), i32::from(record.protocol));
    let since = conflict.since.map_or(0, |since| since.as_nanos());
    assert_eq!(since, u128::from(record.since));
    // All processes of a trial have the name of its binary.
    let own = fs::read_to_string("/proc/self/comm").expect("read the command name");
    let command = (record.kind == raw::CONFLICT_RESERVED).then(|| own.trim_end());
    assert_eq!(conflict.owner_command.as_deref(), command);
}

/// The record that a refusal by the reservation of `port` must leave, as it is listed.
#[track_caller]
pub(crate) fn reserved(sandbox: &Sandbox, protocol: Protocol, port: u16) -> raw::Conflict {
    let netns = sock::netns_cookie(sock::udp4());
    let holder = reservations::list(sandbox)
        .into_iter()
        .find(|entry| {
            entry.netns == netns && entry.protocol == protocol && entry.ports.contains(&port)
        })
        .unwrap_or_else(|| panic!("{port} is not reserved: {:?}", ports::map(sandbox)));
    raw::Conflict {
        owner_pid: holder.pid,
        owner_uid: holder.uid,
        since: holder.since,
        ..of(raw::CONFLICT_RESERVED, protocol, port)
    }
}

/// A record that names nobody.
pub(crate) fn of(kind: u8, protocol: Protocol, port: u16) -> raw::Conflict {
    raw::Conflict {
        port,
        kind,
        protocol: number(protocol),
        ..NONE
    }
}

/// Asserts that a record's time lies between `before` and now.
#[track_caller]
pub(crate) fn assert_recent(conflict: raw::Conflict, before: Instant) {
    let now = now();
    let earliest = now - before.elapsed().as_nanos();
    let since = u128::from(conflict.since);
    assert!(
        (earliest..=now).contains(&since),
        "{since} is not in {earliest}..={now}"
    );
}

/// `CLOCK_BOOTTIME` in nanoseconds.
fn now() -> u128 {
    let mut now = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `now` is a timespec to write to.
    let result = unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, &raw mut now) };
    assert_eq!(result, 0);
    now.tv_sec.unsigned_abs() as u128 * 1_000_000_000 + now.tv_nsec.unsigned_abs() as u128
}

fn number(protocol: Protocol) -> u8 {
    match protocol {
        Protocol::Tcp => libc::IPPROTO_TCP as u8,
        Protocol::Udp => libc::IPPROTO_UDP as u8,
    }
}

/// Asserts that both protocols' ports can be acquired, and gives them back.
#[track_caller]
pub(crate) fn assert_allowed(start: u16, count: u16) {
    for protocol in [Protocol::Tcp, Protocol::Udp] {
        let block = assert_ok!(raw::acquire(socket(protocol), start, count));
        assert_eq!((block.start, block.count), (start, count));
    }
}
