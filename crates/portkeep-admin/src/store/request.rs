//! What is asked for, and what became of it.

use portkeep::{Consumer, PortRange, Protocol};

use crate::error::{Error, ErrorKind};
use crate::store::document::Record;
use crate::store::keeper::Kind;
use crate::store::names::Resolver;
use crate::store::scope::Scope;

/// What is to be reserved or excluded.
#[derive(Clone, Debug)]
pub struct Request {
    /// What it will be.
    pub kind: Kind,
    /// Which ports; all or none.
    pub ports: Ports,
    /// Where; `None` for the network namespace of the calling thread.
    pub scope: Option<Scope>,
    /// Users that may bind there, by name or number.
    pub users: Vec<String>,
    /// Groups whose members may bind there, by name or number.
    pub groups: Vec<String>,
    /// Cgroups whose processes may bind there: a path, or the name of a systemd unit.
    pub cgroups: Vec<String>,
    /// A note to keep with it.
    pub comment: Option<String>,
}

/// Which ports are asked for.
#[derive(Clone, Debug)]
pub enum Ports {
    /// Exactly these.
    These(Vec<PortRange>),
    /// Any free block of the pool, with the same numbers in all protocols.
    Any {
        /// The protocols.
        protocols: Vec<Protocol>,
        /// How many ports.
        count: u16,
        /// A power of two that the first port is a multiple of.
        align: u16,
    },
}

/// What was done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// The ports that are reserved, excluded or free now.
    pub ports: Vec<PortRange>,
    /// Whether anything had to be changed for it.
    pub changed: bool,
    /// What else the caller should know.
    pub warnings: Vec<String>,
}

impl Request {
    /// The kernel's ids. A cgroup may come later, as a unit's does with the unit; a user or a group
    /// that does not exist is a slip.
    pub(crate) fn consumers(&self, outcome: &mut Outcome) -> Result<Vec<Consumer>, Error> {
        if self.kind == Kind::Exclusion {
            return Ok(vec![Consumer::EVERYBODY]);
        }
        let any = PortRange::new(Protocol::Tcp, 1, 1).map_err(portkeep::Error::from)?;
        let resolved = Resolver::default().resolve(&self.record(any, &Scope::Home)?)?;
        for missing in resolved.missing {
            if missing.what != "cgroup" {
                return Err(Error::new(ErrorKind::UnknownName, missing.to_string())
                    .with_hint("create it first, or name another one"));
            }
            outcome.warnings.push(format!(
                "{missing}; until it exists and `portkeep enable` runs, nobody can bind there on its behalf"
            ));
        }
        Ok(resolved.consumers)
    }

    pub(crate) fn record(&self, ports: PortRange, scope: &Scope) -> Result<Record, Error> {
        let mut record = Record {
            ports,
            netns: scope.clone(),
            users: self.users.clone(),
            groups: self.groups.clone(),
            cgroups: self.cgroups.clone(),
            comment: self.comment.clone(),
            source: None,
            fleet: None,
        };
        record.check_names()?;
        Ok(record)
    }
}
