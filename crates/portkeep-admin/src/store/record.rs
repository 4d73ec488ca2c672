//! What a record says, compared and in words.

use crate::store::document::{Document, Record};
use crate::store::keeper::Kind;
use crate::store::namespace::Namespace;
use crate::store::scope::Scope;

impl Document {
    pub(crate) fn records(&self, kind: Kind) -> &[Record] {
        match kind {
            Kind::Reservation => &self.reservations,
            Kind::Exclusion => &self.exclusions,
        }
    }

    pub(crate) fn records_mut(&mut self, kind: Kind) -> &mut Vec<Record> {
        match kind {
            Kind::Reservation => &mut self.reservations,
            Kind::Exclusion => &mut self.exclusions,
        }
    }
}

impl Record {
    /// Whether both are of the same ports in the same place.
    pub(crate) fn is_at(&self, other: &Record) -> bool {
        (self.ports, &self.netns) == (other.ports, &other.netns)
    }

    /// Whether it holds in a network namespace.
    pub(crate) fn is_in(&self, namespace: &Namespace) -> bool {
        self.netns == namespace.scope || self.netns == Scope::Every
    }

    /// Whether it is a job's, which is gone with the boot.
    pub(crate) fn is_grant(&self) -> bool {
        self.fleet.as_ref().is_some_and(|tag| tag.grant)
    }

    pub(crate) fn has_consumers_of(&self, other: &Record) -> bool {
        (&self.users, &self.groups, &self.cgroups) == (&other.users, &other.groups, &other.cgroups)
    }

    /// Whether a user, a group or a cgroup is named.
    pub fn has_consumers(&self) -> bool {
        !(self.users.is_empty() && self.groups.is_empty() && self.cgroups.is_empty())
    }

    /// Who may bind, as in `user asterisk, group voice`.
    pub fn consumers_in_words(&self) -> String {
        let named = |what: &str, names: &[String]| {
            names
                .iter()
                .map(|name| format!("{what} {name}"))
                .collect::<Vec<_>>()
        };
        let all = [
            named("user", &self.users),
            named("group", &self.groups),
            named("cgroup", &self.cgroups),
        ]
        .concat();
        if all.is_empty() {
            "associated sockets of administrators".to_owned()
        } else {
            all.join(", ")
        }
    }
}
