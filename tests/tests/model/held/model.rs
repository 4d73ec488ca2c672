//! What held ports promise: `docs/backends.md`.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use portkeep_tests::libc::{EACCES, EADDRINUSE, EADDRNOTAVAIL, EINVAL};

use super::operation::Where;
use super::worker::Answer;
use crate::model::Place;
use crate::operation::{AUTOMATIC, Person, UNPRIVILEGED};

pub(crate) type ProcessId = u32;

/// Where wildcards are served from.
const POOL: (u16, u16) = (61000, 65535);

/// The ports of a reservation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) tcp: bool,
    pub(crate) udp: bool,
    pub(crate) start: u16,
    pub(crate) count: u16,
}

/// A socket that is bound, not the one that holds a port.
#[derive(Clone, Copy, Debug)]
struct Bound {
    udp: bool,
    port: u16,
    place: Place,
}

#[derive(Clone, Debug)]
pub(crate) struct Process {
    person: Person,
    pub(crate) reservations: Vec<u32>,
    pub(crate) sockets: Vec<u32>,
}

/// A reservation and a socket is there while a process has a copy.
#[derive(Debug, Default)]
pub(crate) struct Model {
    pub(crate) processes: BTreeMap<ProcessId, Process>,
    reservations: BTreeMap<u32, Held>,
    sockets: BTreeMap<u32, Bound>,
}

/// Every reason there is to refuse a call: errno, and the port that is named, if one is.
#[derive(Debug, Default)]
pub(crate) struct Ask(Vec<(i32, Option<u16>)>);

impl Ask {
    fn refuse(&mut self, errno: i32, port: Option<u16>) {
        self.0.push((errno, port));
    }

    /// Whether the call was rightly granted.
    pub(crate) fn judge(&self, errno: i32, answer: &Answer) -> Result<bool, String> {
        let reasons = &self.0;
        match errno {
            0 if reasons.is_empty() => Ok(true),
            0 => Err(format!("it was granted, against {reasons:?}")),
            _ if reasons.contains(&(errno, answer.in_the_way)) => Ok(false),
            _ => Err(format!("it was refused, not for one of {reasons:?}")),
        }
    }
}

impl Held {
    fn has(&self, udp: bool) -> bool {
        if udp { self.udp } else { self.tcp }
    }

    fn ports(&self) -> RangeInclusive<u16> {
        self.start..=self.start + (self.count - 1)
    }

    fn holds(&self, udp: bool, port: u16) -> bool {
        self.has(udp) && self.ports().contains(&port)
    }
}

impl Process {
    pub(crate) fn new(person: Person) -> Process {
        Process {
            person,
            reservations: Vec::new(),
            sockets: Vec::new(),
        }
    }
}

impl Model {
    pub(crate) fn is_held(&self, udp: bool, port: u16) -> bool {
        self.reservations.values().any(|it| it.holds(udp, port))
    }

    fn is_bound(&self, udp: bool, port: u16) -> bool {
        self.sockets
            .values()
            .any(|it| (it.udp, it.port) == (udp, port))
    }

    /// Whether a socket is in the way of another one there, holders left aside.
    fn collides(&self, udp: bool, port: u16, place: Place) -> bool {
        self.sockets
            .values()
            .any(|it| (it.udp, it.port) == (udp, port) && it.place.overlaps(place))
    }

    fn is_privileged(&self, who: ProcessId, port: u16) -> bool {
        port < UNPRIVILEGED && self.processes[&who].person != Person::Root
    }

    fn is_free(&self, wanted: Held) -> bool {
        wanted.ports().all(|port| {
            [false, true]
                .into_iter()
                .filter(|udp| wanted.has(*udp))
                .all(|udp| !self.is_held(udp, port) && !self.is_bound(udp, port))
        })
    }

    pub(crate) fn ask_acquire(&self, who: ProcessId, wanted: Held, align: u16) -> Ask {
        let mut ask = Ask::default();
        if wanted.count == 0 || !align.is_power_of_two() || !wanted.start.is_multiple_of(align) {
            ask.refuse(EINVAL, None);
        } else if wanted.start != 0 {
            for port in wanted.ports() {
                if !self.is_free(Held {
                    start: port,
                    count: 1,
                    ..wanted
                }) {
                    ask.refuse(EADDRINUSE, Some(port));
                }
                if self.is_privileged(who, port) {
                    ask.refuse(EACCES, Some(port));
                }
            }
        }
        // There is always room in the pool.
        ask
    }

    pub(crate) fn acquire(
        &mut self,
        who: ProcessId,
        id: u32,
        wanted: Held,
        align: u16,
        given: Held,
    ) -> Result<(), String> {
        let Held { start, count, .. } = given;
        let right = if wanted.start == 0 {
            let in_pool = start >= POOL.0 && start + (count - 1) <= POOL.1;
            count == wanted.count && start.is_multiple_of(align) && in_pool && self.is_free(given)
        } else {
            given == wanted
        };
        if !right {
            return Err(format!("{given:?} is not free or not what was asked for"));
        }
        self.reservations.insert(id, given);
        self.process(who).reservations.push(id);
        Ok(())
    }

    /// Mostly a place where the owner may be.
    pub(crate) fn aim(&self, reservation: u32, place: Where, number: u8) -> Where {
        let held = self.reservations[&reservation];
        if number.is_multiple_of(4) {
            return place;
        }
        let port = match place.port {
            0 => 0,
            port => held.start + port % held.count,
        };
        let udp = if held.has(place.udp) {
            place.udp
        } else {
            !place.udp
        };
        Where { port, udp, ..place }
    }

    /// What the owner's call for a socket may come to, and which ports it may give.
    pub(crate) fn ask_own(&self, reservation: u32, place: Where) -> (Ask, Vec<u16>) {
        let mut ask = Ask::default();
        let held = self.reservations[&reservation];
        if !held.has(place.udp) {
            ask.refuse(EINVAL, None);
            return (ask, Vec::new());
        }
        if place.port != 0 && !held.ports().contains(&place.port) {
            ask.refuse(EADDRNOTAVAIL, None);
            return (ask, Vec::new());
        }
        let mut ports: Vec<_> = match place.port {
            0 => held.ports().collect(),
            port => vec![port],
        };
        ports.retain(|port| !self.collides(place.udp, *port, place.place()));
        if ports.is_empty() {
            ask.refuse(EADDRINUSE, None);
        }
        (ask, ports)
    }

    /// What bind(2) may come to, and which ports it may give.
    pub(crate) fn ask_bind(&self, who: ProcessId, place: Where) -> (Ask, Vec<u16>) {
        let mut ask = Ask::default();
        if self.is_privileged(who, place.port) && place.port != 0 {
            ask.refuse(EACCES, None);
        }
        let mut ports: Vec<_> = match place.port {
            0 => (AUTOMATIC.0..=AUTOMATIC.1).collect(),
            port => vec![port],
        };
        ports.retain(|port| {
            !self.is_held(place.udp, *port) && !self.collides(place.udp, *port, place.place())
        });
        if ports.is_empty() {
            ask.refuse(EADDRINUSE, None);
        }
        (ask, ports)
    }

    pub(crate) fn bind(
        &mut self,
        who: ProcessId,
        id: u32,
        place: Where,
        ports: &[u16],
        port: u16,
    ) -> Result<(), String> {
        if !ports.contains(&port) {
            return Err(format!("the port {port} is none of {ports:?}"));
        }
        let bound = Bound {
            udp: place.udp,
            port,
            place: place.place(),
        };
        self.sockets.insert(id, bound);
        self.process(who).sockets.push(id);
        Ok(())
    }

    fn process(&mut self, who: ProcessId) -> &mut Process {
        self.processes
            .get_mut(&who)
            .expect("a process of the model")
    }

    pub(crate) fn drop_reservation(&mut self, who: ProcessId, id: u32) {
        self.process(who).reservations.retain(|it| *it != id);
        self.forget();
    }

    pub(crate) fn close(&mut self, who: ProcessId, id: u32) {
        self.process(who).sockets.retain(|it| *it != id);
        self.forget();
    }

    pub(crate) fn end(&mut self, who: ProcessId) {
        self.processes.remove(&who);
        self.forget();
    }

    fn forget(&mut self) {
        let Model {
            processes,
            reservations,
            sockets,
        } = self;
        let all = || processes.values();
        reservations.retain(|id, _| all().any(|it| it.reservations.contains(id)));
        sockets.retain(|id, _| all().any(|it| it.sockets.contains(id)));
    }
}

impl Where {
    fn place(self) -> Place {
        Place::of(self.v6, self.loopback)
    }
}
