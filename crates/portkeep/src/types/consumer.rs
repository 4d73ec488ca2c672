use std::fmt;
use std::str::FromStr;

use super::abi;
use super::parse_error::ParseError;

/// Who may bind in a persistent reservation without associating: processes of a user, a group or a
/// cgroup.
///
/// It is written as the list of reservations writes it: `uid:1000`, `gid:44` or `cgroup:4711`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Consumer {
    /// The effective user id.
    User(u32),
    /// The effective group id, or a supplementary one.
    Group(u32),
    /// The id of a cgroup v2, which is the inode number of its directory; those below it are in it.
    Cgroup(u64),
}

impl Consumer {
    /// The root cgroup, in which every process is. With it everybody may bind to the ports by their
    /// numbers, but nobody gets one by chance: an *exclusion*.
    pub const EVERYBODY: Consumer = Consumer::Cgroup(abi::PORTKEEP_ROOT_CGROUP);

    /// As the kernel ABI has it.
    pub const fn record(self) -> abi::ConsumerRecord {
        let (kind, id) = match self {
            Consumer::User(uid) => (abi::PORTKEEP_CONSUMER_UID, uid as u64),
            Consumer::Group(gid) => (abi::PORTKEEP_CONSUMER_GID, gid as u64),
            Consumer::Cgroup(id) => (abi::PORTKEEP_CONSUMER_CGROUP, id),
        };
        abi::ConsumerRecord {
            kind,
            reserved: 0,
            id,
        }
    }
}

impl fmt::Display for Consumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Consumer::User(uid) => write!(f, "uid:{uid}"),
            Consumer::Group(gid) => write!(f, "gid:{gid}"),
            Consumer::Cgroup(id) => write!(f, "cgroup:{id}"),
        }
    }
}

impl FromStr for Consumer {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Consumer, ParseError> {
        fn number<T: FromStr>(text: &str) -> Result<T, ParseError> {
            text.parse().map_err(|_| ParseError::Consumer)
        }
        match text.split_once(':') {
            Some(("uid", uid)) => number(uid).map(Consumer::User),
            Some(("gid", gid)) => number(gid).map(Consumer::Group),
            Some(("cgroup", id)) => number(id).map(Consumer::Cgroup),
            _ => Err(ParseError::Consumer),
        }
    }
}

impl Consumer {
    /// From the column CONSUMERS, a list or `-`. A kind that a later kernel part may add is passed over.
    pub(super) fn from_column(text: &str) -> Vec<Consumer> {
        text.split(',')
            .filter_map(|word| word.parse().ok())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text() {
        for consumer in [
            Consumer::User(1000),
            Consumer::Group(0),
            Consumer::Cgroup(u64::MAX),
        ] {
            assert_eq!(consumer.to_string().parse(), Ok(consumer));
        }
        for text in ["", "-", "uid", "uid:", "uid:-1", "uid:4294967296", "pid:1"] {
            assert_eq!(
                text.parse::<Consumer>(),
                Err(ParseError::Consumer),
                "{text:?}"
            );
        }
        assert_eq!(Consumer::from_column("-"), []);
        assert_eq!(
            Consumer::from_column("uid:1,later:2,cgroup:1"),
            [Consumer::User(1), Consumer::EVERYBODY]
        );
    }
}
