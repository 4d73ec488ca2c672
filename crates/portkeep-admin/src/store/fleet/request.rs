use portkeep::{Consumer, PortRange};

use super::{FleetTag, InTheWay, Obstacle};
use crate::error::{Error, ErrorKind};
use crate::store::document::Record;
use crate::store::keeper::Kind;
use crate::store::names::Resolver;
use crate::store::scope::Scope;

/// What a fleet wants reserved on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FleetRequest {
    /// Which of its reservations it is.
    pub tag: FleetTag,
    /// The ports; all or none.
    pub ports: Vec<PortRange>,
    /// Who may bind, as in `user asterisk`, `group voice` and `cgroup web.service`. `everybody`, alone, for
    /// an exclusion. Nobody for none of them.
    pub consumers: Vec<String>,
    /// A note to keep with it.
    pub comment: Option<String>,
}

/// The same, as the store and the kernel part take it.
#[derive(Debug)]
pub struct Wanted {
    pub kind: Kind,
    pub tag: FleetTag,
    pub records: Vec<Record>,
    pub consumers: Vec<Consumer>,
    /// Users and groups that do not exist here.
    pub missing: Vec<Obstacle>,
}

impl FleetRequest {
    pub(super) fn wanted(&self) -> Result<Wanted, Error> {
        let Some(first) = self.ports.first() else {
            return Err(Error::new(ErrorKind::InvalidInput, "no ports are given"));
        };
        let mut record = Record {
            ports: *first,
            netns: Scope::Home,
            users: Vec::new(),
            groups: Vec::new(),
            cgroups: Vec::new(),
            comment: self.comment.clone(),
            source: None,
            fleet: Some(self.tag.clone()),
        };
        let kind = add_names(&self.consumers, &mut record)?;
        record.check_names()?;
        let mut missing = Vec::new();
        let consumers = match kind {
            Kind::Exclusion => vec![Consumer::EVERYBODY],
            Kind::Reservation => {
                let resolved = Resolver::default().resolve(&record)?;
                // A cgroup may come later, as a unit's does with the unit.
                let gone = resolved.missing.iter().filter(|it| it.what != "cgroup");
                missing.extend(gone.map(|it| Obstacle {
                    ports: *first,
                    what: InTheWay::Name(it.to_string()),
                }));
                resolved.consumers
            }
        };
        let records = self.ports.iter().map(|ports| Record {
            ports: *ports,
            ..record.clone()
        });
        Ok(Wanted {
            kind,
            tag: self.tag.clone(),
            records: records.collect(),
            consumers,
            missing,
        })
    }
}

const EVERYBODY: &str = "everybody";

fn add_names(consumers: &[String], record: &mut Record) -> Result<Kind, Error> {
    if consumers == [EVERYBODY] {
        return Ok(Kind::Exclusion);
    }
    for consumer in consumers {
        let (what, name) = consumer.split_once(' ').unwrap_or((consumer, ""));
        let names = match what {
            "user" => &mut record.users,
            "group" => &mut record.groups,
            "cgroup" => &mut record.cgroups,
            _ => {
                let message = format!("'{consumer}' is neither a user, a group nor a cgroup");
                return Err(Error::new(ErrorKind::InvalidInput, message));
            }
        };
        names.push(name.to_owned());
    }
    Ok(Kind::Reservation)
}
