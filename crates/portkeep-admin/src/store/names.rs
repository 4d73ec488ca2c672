//! Who may bind: from names to the ids that the kernel part compares.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;

use nix::errno::Errno;
use nix::unistd::{Gid, Group, Uid, User};
use portkeep::Consumer;
use portkeep::abi::PORTKEEP_CONSUMERS_MAX;

use crate::error::{Error, ErrorKind};
use crate::store::cgroups;
use crate::store::document::Record;

/// A user, a group or a cgroup that does not exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// `user`, `group` or `cgroup`
    pub what: &'static str,
    /// Its name.
    pub name: String,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name.as_str() {
            "" => write!(f, "there is no {} without a name", self.what),
            name => write!(f, "there is no {} {name}", self.what),
        }
    }
}

/// The consumers that exist, and the names of those that do not.
#[derive(Clone, Debug, Default)]
pub struct Resolved {
    pub consumers: Vec<Consumer>,
    pub missing: Vec<Missing>,
}

impl Record {
    /// Brings names into the form in which they are kept and refuses what can never be right.
    pub(crate) fn check_names(&mut self) -> Result<(), Error> {
        for cgroup in &mut self.cgroups {
            *cgroup = cgroups::canonical(cgroup)?;
        }
        for names in [&mut self.users, &mut self.groups, &mut self.cgroups] {
            names.sort();
            names.dedup();
        }
        let count = self.users.len() + self.groups.len() + self.cgroups.len();
        if count > PORTKEEP_CONSUMERS_MAX {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                format!(
                    "{count} users, groups and cgroups are too many: {PORTKEEP_CONSUMERS_MAX} can be named"
                ),
            )
            .with_hint("put the users into a group"));
        }
        Ok(())
    }
}

/// Looks names up, each once.
#[derive(Debug, Default)]
pub struct Resolver {
    known: HashMap<(&'static str, String), Option<Consumer>>,
}

impl Resolver {
    /// The ids of a record's users, groups and cgroups now.
    pub fn resolve(&mut self, record: &Record) -> Result<Resolved, Error> {
        let mut resolved = Resolved::default();
        let names = [
            ("user", &record.users),
            ("group", &record.groups),
            ("cgroup", &record.cgroups),
        ];
        for (what, names) in names {
            for name in names {
                match self.find(what, name)? {
                    Some(consumer) if resolved.consumers.contains(&consumer) => {}
                    Some(consumer) => resolved.consumers.push(consumer),
                    None => resolved.missing.push(Missing {
                        what,
                        name: name.clone(),
                    }),
                }
            }
        }
        Ok(resolved)
    }

    fn find(&mut self, what: &'static str, name: &str) -> Result<Option<Consumer>, Error> {
        let key = (what, name.to_owned());
        if let Some(known) = self.known.get(&key) {
            return Ok(*known);
        }
        let found = match what {
            "user" => user_id(name)?.map(Consumer::User),
            "group" => gid(name)?.map(Consumer::Group),
            _ => cgroups::id(name)?.map(Consumer::Cgroup),
        };
        self.known.insert(key, found);
        Ok(found)
    }
}

/// The number of a user that is given by name or number; `None` if there is none.
///
/// A name goes before a number of the same digits, as useradd(8) allows such names.
///
/// # Errors
///
/// If the user database cannot be asked.
pub fn user_id(name: &str) -> Result<Option<u32>, Error> {
    let user = found(User::from_name(name))
        .map_err(|errno| Error::system(format!("asking for user {name}"), errno.into()))?;
    Ok(user.map(|user| user.uid.as_raw()).or_else(|| number(name)))
}

fn gid(name: &str) -> Result<Option<u32>, Error> {
    let group = found(Group::from_name(name))
        .map_err(|errno| Error::system(format!("asking for group {name}"), errno.into()))?;
    Ok(group
        .map(|group| group.gid.as_raw())
        .or_else(|| number(name)))
}

/// C libraries report a missing name, or a missing /etc/passwd, by any of these (getpwnam(3)).
fn found<T>(looked_up: nix::Result<Option<T>>) -> nix::Result<Option<T>> {
    match looked_up {
        Err(Errno::ENOENT | Errno::ESRCH | Errno::EBADF | Errno::EPERM) => Ok(None),
        other => other,
    }
}

/// All ones is no id.
fn number(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = digits.then(|| text.parse().ok()).flatten();
    number.filter(|number| *number != u32::MAX)
}

/// The names to keep for consumers that the kernel part has: the other way round. What has no
/// name is kept by number; a cgroup that is gone can be nobody's any more and is left out.
pub fn name(consumers: &[Consumer], record: &mut Record) {
    for consumer in consumers {
        match *consumer {
            Consumer::User(uid) => record.users.push(user_name(uid)),
            Consumer::Group(gid) => record.groups.push(group_name(gid)),
            Consumer::Cgroup(id) => record.cgroups.extend(cgroups::path_of(id)),
            // The store has names for no others.
            _ => {}
        }
    }
}

thread_local! {
    /// A list of ten thousand reservations asks for few users, again and again.
    static USER_NAMES: RefCell<HashMap<u32, String>> = RefCell::default();
}

/// The name of a user, or the number where there is none. Each is looked up once.
pub fn user_name(uid: u32) -> String {
    let look_up = || match User::from_uid(Uid::from_raw(uid)) {
        Ok(Some(user)) => user.name,
        Ok(None) | Err(_) => uid.to_string(),
    };
    USER_NAMES.with_borrow_mut(|names| names.entry(uid).or_insert_with(look_up).clone())
}

/// The name of a group, or the number where there is none.
pub fn group_name(gid: u32) -> String {
    match Group::from_gid(Gid::from_raw(gid)) {
        Ok(Some(group)) => group.name,
        Ok(None) | Err(_) => gid.to_string(),
    }
}
