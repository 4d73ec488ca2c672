use std::fmt;

use portkeep::{Consumer, PortRange};

use super::FleetRequest;
use super::request::Wanted;
use crate::error::{Error, ErrorKind};
use crate::store::document::Document;
use crate::store::keeper::{FindSockets, Keeper, Stranger};
use crate::store::kernel::{Kernel, Live, is_persistent, overlap};
use crate::store::names::user_name;
use crate::store::obstacles::{entry_words, words};
use crate::store::scope::Scope;

/// Something in the way of a reservation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Obstacle {
    /// Where.
    pub ports: PortRange,
    /// What.
    pub what: InTheWay,
}

/// What is in the way.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InTheWay {
    /// A socket that is bound there.
    Socket(Stranger),
    /// A reservation or an exclusion, in words: `reserved for user sip ("old bridge")`.
    Reservation(String),
    /// A user or a group does not exist on this machine.
    Name(String),
    /// The kernel part or the store refuses for another reason.
    Other(String),
}

impl fmt::Display for InTheWay {
    /// As in `socket of coturn (pid 812, user turnserver)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            InTheWay::Socket(stranger) => {
                let what = match stranger.automatic {
                    true => "automatic port",
                    false => "socket",
                };
                let user = user_name(stranger.uid);
                match (&stranger.command, stranger.pid) {
                    (Some(command), Some(pid)) => {
                        write!(f, "{what} of {command} (pid {pid}, user {user})")
                    }
                    _ => write!(f, "{what} of user {user}"),
                }
            }
            InTheWay::Reservation(words) | InTheWay::Name(words) | InTheWay::Other(words) => {
                f.write_str(words)
            }
        }
    }
}

impl Keeper {
    /// What is in the way of a reservation of a fleet; nothing, if it could be made now. Changes nothing.
    /// `sockets` finds those in the way.
    ///
    /// # Errors
    ///
    /// If it cannot be found out, or [`ErrorKind::InvalidInput`].
    pub fn in_the_way_of_fleet(
        &self,
        request: &FleetRequest,
        sockets: Option<&dyn FindSockets>,
    ) -> Result<Vec<Obstacle>, Error> {
        let document = self.store.load()?;
        let namespace = document.namespace(Some(Scope::Home))?;
        let kernel = Kernel::in_namespace(&self.installation, &namespace)?;
        let live = kernel.live()?;
        let wanted = request.wanted()?;
        let mut obstacles = wanted.missing_or_reserved(&document, &live, namespace.cookie);
        obstacles.extend(wanted.strangers(sockets)?.0);
        Ok(obstacles)
    }
}

impl Wanted {
    /// The names that do not exist here, and the reservations in the way. `cookie` is the home network namespace's.
    pub fn missing_or_reserved(
        &self,
        document: &Document,
        live: &Live,
        cookie: u64,
    ) -> Vec<Obstacle> {
        let mut obstacles = self.missing.clone();
        obstacles.extend(self.reservations(document, live, cookie));
        obstacles
    }

    /// The reservations in the way. `cookie` is the home network namespace's.
    fn reservations(&self, document: &Document, live: &Live, cookie: u64) -> Vec<Obstacle> {
        let mut obstacles = Vec::new();
        for ports in self.records.iter().map(|record| record.ports) {
            let mut known = Vec::new();
            for (kind, record) in document.with_kinds() {
                let place = [Scope::Home, Scope::Every].contains(&record.netns);
                let Some(common) = overlap(record.ports, ports).filter(|_| place) else {
                    continue;
                };
                known.push(record.ports);
                let own = |tag: &super::FleetTag| tag.is_same(&self.tag);
                if !record.fleet.as_ref().is_some_and(own) {
                    let what = InTheWay::Reservation(words(kind, record));
                    obstacles.push(Obstacle {
                        ports: common,
                        what,
                    });
                }
            }
            for entry in live.overlapping(ports) {
                let here = entry.netns_cookie == cookie || entry.netns_cookie == 0;
                let is_known = is_persistent(entry) && known.contains(&entry.range);
                if let Some(common) = overlap(entry.range, ports).filter(|_| here && !is_known) {
                    obstacles.push(Obstacle {
                        ports: common,
                        what: InTheWay::Reservation(entry_words(entry)),
                    });
                }
            }
        }
        obstacles
    }

    /// The sockets in the way, and whether the consumers have some. To an exclusion none is.
    pub fn strangers(
        &self,
        sockets: Option<&dyn FindSockets>,
    ) -> Result<(Vec<Obstacle>, bool), Error> {
        let (mut obstacles, mut adopt) = (Vec::new(), false);
        if self.consumers == [Consumer::EVERYBODY] {
            return Ok((obstacles, true));
        }
        let Some(sockets) = sockets else {
            return Ok((obstacles, adopt));
        };
        for ports in self.records.iter().map(|record| record.ports) {
            let found = sockets.find(ports, &self.consumers).map_err(|error| {
                let message = format!("cannot find the sockets in {ports}: {error}");
                Error::new(ErrorKind::System, message)
            })?;
            adopt |= found.of_consumers > 0;
            for stranger in found.of_strangers {
                let port = stranger.port;
                let at = PortRange::new(ports.protocol(), port, port).unwrap_or(ports);
                obstacles.push(Obstacle {
                    ports: at,
                    what: InTheWay::Socket(stranger),
                });
            }
        }
        Ok((obstacles, adopt))
    }
}
