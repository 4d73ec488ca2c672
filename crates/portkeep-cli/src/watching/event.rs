//! One event.

use std::mem::offset_of;
use std::time::Duration;

use nix::errno::Errno;
use nix::time::{ClockId, clock_gettime};
use portkeep::Protocol;
use portkeep::abi::{self, EventRecord};
use portkeep_admin::user_name;
use serde::Serialize;

use crate::output::text_of;
use crate::watching::kernel::{u16_at, u32_at, u64_at};
use crate::words::{Moment, process};

/// Something that happened.
#[derive(Debug, Clone)]
pub struct Event {
    pub what: What,
    /// In nanoseconds since boot.
    pub time: u64,
    /// What it is about; `None` for what this command itself tells.
    pub details: Option<Details>,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// This command watches from now on.
    Watching,
    BindRefused,
    ConnectRefused,
    AcquireRefused,
    Acquired,
    Released,
    Created,
    Deleted,
    /// Of a persistent block: its last part is a block of its own.
    Split,
    /// A persistent block is part of the one before it.
    Joined,
    /// Others may bind in a persistent block.
    Changed,
    Enabled,
    Disabled,
    /// Events were overwritten before this command read them.
    Lost(u64),
    /// A later kernel part has more kinds.
    Unknown,
}

impl What {
    /// The name in JSON.
    fn name(self) -> &'static str {
        match self {
            Self::Watching => "watching",
            Self::BindRefused => "bind_refused",
            Self::ConnectRefused => "connect_refused",
            Self::AcquireRefused => "acquire_refused",
            Self::Acquired => "acquired",
            Self::Released => "released",
            Self::Created => "created",
            Self::Deleted => "deleted",
            Self::Split => "split",
            Self::Joined => "joined",
            Self::Changed => "changed",
            Self::Enabled => "enabled",
            Self::Disabled => "disabled",
            Self::Lost(_) => "lost",
            Self::Unknown => "unknown",
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::BindRefused => "bind refused",
            Self::ConnectRefused => "connect refused",
            Self::AcquireRefused => "acquire refused",
            other => other.name(),
        }
    }

    pub fn is_refusal(self) -> bool {
        matches!(
            self,
            Self::BindRefused | Self::ConnectRefused | Self::AcquireRefused
        )
    }

    fn from_number(kind: u8) -> Self {
        match kind {
            abi::PORTKEEP_EVENT_BIND_REFUSED => Self::BindRefused,
            abi::PORTKEEP_EVENT_CONNECT_REFUSED => Self::ConnectRefused,
            abi::PORTKEEP_EVENT_ACQUIRE_REFUSED => Self::AcquireRefused,
            abi::PORTKEEP_EVENT_ACQUIRED => Self::Acquired,
            abi::PORTKEEP_EVENT_RELEASED => Self::Released,
            abi::PORTKEEP_EVENT_CREATED => Self::Created,
            abi::PORTKEEP_EVENT_DELETED => Self::Deleted,
            abi::PORTKEEP_EVENT_SPLIT => Self::Split,
            abi::PORTKEEP_EVENT_JOINED => Self::Joined,
            abi::PORTKEEP_EVENT_CHANGED => Self::Changed,
            _ => Self::Unknown,
        }
    }
}

/// The kinds of [`What::is_refusal`], for the kernel part.
pub const REFUSALS: u64 = 1 << abi::PORTKEEP_EVENT_BIND_REFUSED
    | 1 << abi::PORTKEEP_EVENT_CONNECT_REFUSED
    | 1 << abi::PORTKEEP_EVENT_ACQUIRE_REFUSED;

/// Who asked for what, and who was in the way.
#[derive(Debug, Clone)]
pub struct Details {
    pub netns_cookie: u64,
    protocol: Option<Protocol>,
    /// 0: any.
    start: u16,
    count: u16,
    /// In the way; 0 if it is no single one.
    port: u16,
    conflict: u8,
    error: u16,
    caller: Party,
    /// Of the reservation.
    owner: Option<Party>,
    is_persistent: bool,
    since: u64,
    token: u64,
}

#[derive(Debug, Clone)]
struct Party {
    pid: u32,
    uid: u32,
    command: String,
}

#[derive(Debug, Serialize)]
struct Document {
    schema: u32,
    event: &'static str,
    time: String,
    protocol: Option<String>,
    start: Option<u16>,
    end: Option<u16>,
    port: Option<u16>,
    reason: Option<&'static str>,
    error: Option<String>,
    pid: Option<u32>,
    command: Option<String>,
    uid: Option<u32>,
    user: Option<String>,
    owner: Option<OwnerDocument>,
    token: Option<u64>,
    netns_cookie: Option<u64>,
    lost: Option<u64>,
}

#[derive(Debug, Serialize)]
struct OwnerDocument {
    kind: &'static str,
    pid: Option<u32>,
    command: Option<String>,
    uid: u32,
    user: String,
    since: Option<String>,
}

impl Event {
    pub fn now(what: What) -> Self {
        Self::at(what, since_boot().as_nanos() as u64)
    }

    pub fn at(what: What, time: u64) -> Self {
        Self {
            what,
            time,
            details: None,
        }
    }

    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let long = |offset| u64_at(bytes, offset);
        let word = |offset| u32_at(bytes, offset);
        let byte = |offset: usize| bytes.get(offset).copied();
        let port = |offset| u16_at(bytes, offset).map(u16::from_be);
        let start = offset_of!(EventRecord, range);
        let what = What::from_number(byte(offset_of!(EventRecord, kind))?);
        let since = long(offset_of!(EventRecord, since))?;
        let command = |offset: usize| {
            let name: &[u8; 16] = bytes.get(offset..)?.first_chunk()?;
            let end = name.iter().position(|byte| *byte == 0).unwrap_or(16);
            let name = std::ffi::OsStr::from_bytes(&name[..end]);
            Some(text_of(name))
        };
        use std::os::unix::ffi::OsStrExt as _;
        let owner = Party {
            pid: word(offset_of!(EventRecord, owner_pid))?,
            uid: word(offset_of!(EventRecord, owner_uid))?,
            command: command(offset_of!(EventRecord, owner_command))?,
        };
        // A socket in the way has an owner, too: its user alone.
        let has_owner =
            since != 0 || byte(offset_of!(EventRecord, conflict))? == abi::PORTKEEP_CONFLICT_IN_USE;
        let details = Details {
            netns_cookie: long(offset_of!(EventRecord, netns))?,
            protocol: protocol(byte(offset_of!(EventRecord, protocol))?),
            start: port(start)?,
            count: u16_at(bytes, start + offset_of!(abi::Range, count))?,
            port: port(offset_of!(EventRecord, port))?,
            conflict: byte(offset_of!(EventRecord, conflict))?,
            error: u16_at(bytes, offset_of!(EventRecord, error))?,
            caller: Party {
                pid: word(offset_of!(EventRecord, pid))?,
                uid: word(offset_of!(EventRecord, uid))?,
                command: command(offset_of!(EventRecord, command))?,
            },
            owner: has_owner.then_some(owner),
            is_persistent: byte(offset_of!(EventRecord, persistent))? != 0,
            since,
            token: long(offset_of!(EventRecord, token))?,
        };
        Some(Self {
            what,
            time: long(offset_of!(EventRecord, time))?,
            details: Some(details),
        })
    }

    /// Whether one of the ports from the first to the last is `takes`.
    pub fn is_at(&self, takes: impl Fn(u16, u16) -> bool) -> bool {
        let Some(it) = &self.details else { return true };
        let end = it.end();
        (it.start != 0 && takes(it.start, end)) || (it.port != 0 && takes(it.port, it.port))
    }

    /// Whether one of these users asked, or owns the reservation.
    pub fn is_of(&self, users: &[u32]) -> bool {
        let Some(it) = &self.details else { return true };
        let owner = it.owner.as_ref().map(|owner| owner.uid);
        users.contains(&it.caller.uid) || owner.is_some_and(|uid| users.contains(&uid))
    }

    /// The cells of a line: time, what, ports, and the rest.
    pub fn cells(&self, with_netns: bool) -> [String; 4] {
        let details = self.details.as_ref();
        let mut rest = match (self.what, details) {
            (What::Lost(count), _) => format!("{count} events, which came too fast"),
            (_, Some(it)) => it.words(self.what),
            _ => String::new(),
        };
        if let (true, Some(it)) = (with_netns, details) {
            rest = match it.netns_cookie {
                0 => format!("every network namespace: {rest}"),
                cookie => format!("netns {cookie}: {rest}"),
            };
        }
        [
            moment(self.time).local(),
            self.what.words().to_owned(),
            details.map(Details::ports).unwrap_or_default(),
            rest,
        ]
    }

    /// The document of this event.
    pub fn document(&self) -> impl Serialize + use<> {
        let it = self.details.as_ref();
        let caller = it.map(|it| &it.caller);
        Document {
            schema: 1,
            event: self.what.name(),
            time: moment(self.time).rfc3339_precise(),
            protocol: it.and_then(|it| it.protocol).map(|it| it.to_string()),
            start: it.map(|it| it.start).filter(|port| *port != 0),
            end: it.filter(|it| it.start != 0).map(Details::end),
            port: it.map(|it| it.port).filter(|port| *port != 0),
            reason: it
                .filter(|_| self.what.is_refusal())
                .map(|it| reason(it.conflict)),
            error: it
                .filter(|_| self.what.is_refusal())
                .map(|it| format!("{:?}", Errno::from_raw(it.error.into()))),
            pid: caller.map(|it| it.pid),
            command: caller.map(|it| it.command.clone()),
            uid: caller.map(|it| it.uid),
            user: caller.map(|it| user_name(it.uid)),
            owner: it.and_then(Details::owner_document),
            token: it.map(|it| it.token).filter(|token| *token != 0),
            netns_cookie: it.map(|it| it.netns_cookie),
            lost: match self.what {
                What::Lost(count) => Some(count),
                _ => None,
            },
        }
    }
}

/// The names of the kinds of conflict.
fn reason(conflict: u8) -> &'static str {
    match conflict {
        abi::PORTKEEP_CONFLICT_RESERVED => "reserved",
        abi::PORTKEEP_CONFLICT_IN_USE => "in_use",
        abi::PORTKEEP_CONFLICT_AUTOMATIC => "automatic",
        abi::PORTKEEP_CONFLICT_QUOTA => "quota",
        abi::PORTKEEP_CONFLICT_NOT_PERMITTED => "not_permitted",
        abi::PORTKEEP_CONFLICT_CANNOT_TELL => "cannot_tell",
        abi::PORTKEEP_CONFLICT_ENDED => "ended",
        _ => "other",
    }
}

impl Details {
    fn end(&self) -> u16 {
        self.start.saturating_add(self.count.saturating_sub(1))
    }

    /// As in `8080/tcp`, `61000-61002/tcp`, or `any 3/tcp`.
    fn ports(&self) -> String {
        let protocol = self.protocol.map_or("?".to_owned(), |it| it.to_string());
        match (self.start, self.count) {
            (0, 1) if self.port != 0 => format!("{}/{protocol}", self.port),
            (0, count) => format!("any {count}/{protocol}"),
            (start, 0 | 1) => format!("{start}/{protocol}"),
            (start, _) => format!("{start}-{}/{protocol}", self.end()),
        }
    }

    fn words(&self, what: What) -> String {
        let caller = self.caller.words();
        if what.is_refusal() {
            let at = match self.port {
                0 => String::new(),
                port if port == self.start && self.count <= 1 => String::new(),
                port => format!("{port} is "),
            };
            return format!("{caller}: {at}{}", self.reason_words());
        }
        match &self.owner {
            Some(owner) if owner.pid != 0 && owner.pid != self.caller.pid => {
                format!("of {}, by {caller}", owner.words())
            }
            _ => caller,
        }
    }

    fn reason_words(&self) -> String {
        match (self.conflict, &self.owner) {
            (abi::PORTKEEP_CONFLICT_RESERVED, Some(owner)) if self.is_persistent => {
                format!("reserved persistently, user {}", user_name(owner.uid))
            }
            (abi::PORTKEEP_CONFLICT_RESERVED, Some(owner)) if owner.pid != 0 => {
                format!("reserved by {}", owner.words())
            }
            (abi::PORTKEEP_CONFLICT_RESERVED, _) => "reserved".to_owned(),
            (abi::PORTKEEP_CONFLICT_IN_USE, Some(owner)) => {
                format!("in use by a socket of user {}", user_name(owner.uid))
            }
            (abi::PORTKEEP_CONFLICT_IN_USE, None) => "in use".to_owned(),
            (abi::PORTKEEP_CONFLICT_AUTOMATIC, _) => "an automatic port".to_owned(),
            (abi::PORTKEEP_CONFLICT_QUOTA, _) => "the user's quota is used up".to_owned(),
            (abi::PORTKEEP_CONFLICT_NOT_PERMITTED, _) => "a privileged port".to_owned(),
            (abi::PORTKEEP_CONFLICT_CANNOT_TELL, _) => {
                "too many sockets to tell whether it is in use".to_owned()
            }
            (abi::PORTKEEP_CONFLICT_ENDED, _) => "its reservation has ended".to_owned(),
            _ => Errno::from_raw(self.error.into()).desc().to_owned(),
        }
    }

    fn owner_document(&self) -> Option<OwnerDocument> {
        let owner = self.owner.as_ref()?;
        Some(OwnerDocument {
            kind: match self.since {
                0 => "socket",
                _ if self.is_persistent => "persistent",
                _ => "runtime",
            },
            pid: Some(owner.pid).filter(|pid| *pid != 0),
            command: Some(owner.command.clone()).filter(|it| !it.is_empty() && owner.pid != 0),
            uid: owner.uid,
            user: user_name(owner.uid),
            since: (self.since != 0).then(|| moment(self.since).rfc3339()),
        })
    }
}

impl Party {
    fn words(&self) -> String {
        process(self.pid, &self.command, self.uid)
    }
}

fn protocol(number: u8) -> Option<Protocol> {
    match number.into() {
        libc::IPPROTO_TCP => Some(Protocol::Tcp),
        libc::IPPROTO_UDP => Some(Protocol::Udp),
        _ => None,
    }
}

fn since_boot() -> Duration {
    clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(Duration::ZERO, Duration::from)
}

/// The moment of a time since boot.
fn moment(time: u64) -> Moment {
    Moment::before_now(since_boot().saturating_sub(Duration::from_nanos(time)))
}
