//! Phrases that several commands use.

use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use portkeep::{Conflict, Consumer, PortRange};
pub use portkeep_admin::sockets::process;
use portkeep_admin::{group_name, user_name};

/// A refusal of the library, which has numbers, with names, as everywhere else in the output.
pub fn conflict(conflict: &Conflict) -> String {
    conflict.with_names(|consumer| match consumer {
        Consumer::User(uid) => Some(user_name(uid)),
        Consumer::Group(gid) => Some(group_name(gid)),
        _ => None,
    })
}

/// As in `10000-20000/udp`, or for both protocols `5004-5005/tcp and 5004-5005/udp`.
pub fn list(ports: &[PortRange]) -> String {
    let mut ports: Vec<_> = ports.iter().map(PortRange::to_string).collect();
    match ports.pop() {
        Some(last) if !ports.is_empty() => format!("{} and {last}", ports.join(", ")),
        last => last.unwrap_or_default(),
    }
}

/// As in `1 reservation`, `2 reservations`.
pub fn counted(count: usize, what: &str) -> String {
    match count {
        1 => format!("1 {what}"),
        _ => format!("{count} {what}s"),
    }
}

/// A moment in the past.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    time: Timestamp,
    age: Duration,
}

impl Moment {
    pub fn before_now(age: Duration) -> Self {
        let time = Timestamp::now().checked_sub(age).unwrap_or(Timestamp::MIN);
        Self { time, age }
    }

    /// Local time, as in `2026-11-23 07:40:12`.
    pub fn local(&self) -> String {
        self.time
            .to_zoned(TimeZone::system())
            .strftime("%Y-%m-%d %H:%M:%S")
            .to_string()
    }

    /// UTC in the form of RFC 3339, as in `2026-11-23T07:40:12Z`.
    pub fn rfc3339(&self) -> String {
        self.time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
    }

    /// [`rfc3339`](Self::rfc3339) with microseconds.
    pub fn rfc3339_precise(&self) -> String {
        self.time.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
    }

    /// The age in the largest unit that fits, as in `3 min ago`.
    pub fn ago(&self) -> String {
        let seconds = self.age.as_secs();
        let (count, unit) = match seconds {
            0..60 => (seconds, "s"),
            60..3600 => (seconds / 60, "min"),
            3600..86400 => (seconds / 3600, "h"),
            _ => (seconds / 86400, "d"),
        };
        format!("{count} {unit} ago")
    }
}
