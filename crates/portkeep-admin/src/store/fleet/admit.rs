use portkeep::Consumer;
use portkeep::abi::PORTKEEP_CONSUMERS_MAX;

use super::{FleetTag, begin};
use crate::error::{Error, ErrorKind};
use crate::store::cgroups;
use crate::store::keeper::Keeper;

impl Keeper {
    /// Lets more consumers bind at the ports of a fleet's reservation, from one instant on: a job's cgroup.
    /// Cgroups that are gone make room for them.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::UnknownName`] if the kernel part does not have the reservation, and
    /// [`ErrorKind::InvalidInput`] if there are too many.
    pub fn admit_for_fleet(&self, tag: &FleetTag, more: &[Consumer]) -> Result<(), Error> {
        let session = begin(self)?;
        let live = session.kernel.live()?;
        let lines = session.document.lines(tag);
        if lines.is_empty() {
            return Err(missing(tag));
        }
        for (_, record) in lines {
            let entry = live.persistent(session.namespace.cookie, record.ports);
            let mut consumers = entry.ok_or_else(|| missing(tag))?.named.clone();
            let before = consumers.len();
            for consumer in more {
                if !consumers.contains(consumer) {
                    consumers.push(*consumer);
                }
            }
            if consumers.len() == before {
                continue;
            }
            if consumers.len() > PORTKEEP_CONSUMERS_MAX {
                consumers.retain(|consumer| more.contains(consumer) || exists(consumer));
            }
            if consumers.len() > PORTKEEP_CONSUMERS_MAX {
                let message = format!(
                    "{PORTKEEP_CONSUMERS_MAX} cgroups may bind to {} already",
                    record.ports
                );
                return Err(Error::new(ErrorKind::InvalidInput, message)
                    .with_hint("attach the cgroup that all of the job's processes are below"));
            }
            session.set_consumers(&record, &consumers)?;
        }
        Ok(())
    }
}

fn exists(consumer: &Consumer) -> bool {
    match *consumer {
        Consumer::Cgroup(id) => cgroups::path_of(id).is_some(),
        _ => true,
    }
}

fn missing(tag: &FleetTag) -> Error {
    let message = format!("this machine does not have {} of {}", tag.id, tag.fleet);
    Error::new(ErrorKind::UnknownName, message)
        .with_hint("it may have ended, or be of other nodes; `portkeep ls` shows what is reserved")
}
