//! Reservations: by whom they are held, who may bind there, and how they end.

use std::ops::RangeInclusive;

use portkeep_tests::libc::{EACCES, EINVAL};
use portkeep_tests::raw::{CONFLICT_RESERVED, PROCESS, TREE, USER};

use super::{Ask, BOBS_GROUP, Model, Netns, Owner, ProcessId, SocketId};
use crate::call::Told;
use crate::operation::Person;

#[derive(Clone, Debug)]
pub(crate) struct Reservation {
    pub(crate) netns: Netns,
    pub(crate) udp: bool,
    pub(crate) start: u16,
    pub(crate) count: u16,
    /// `None` for what was cut off, whose token is not told but listed.
    pub(crate) token: Option<u64>,
    pub(crate) lifetime: Lifetime,
    pub(crate) charged: Option<u32>,
    /// As first listed.
    pub(crate) since: Option<u64>,
}

#[derive(Clone, Debug)]
pub(crate) enum Lifetime {
    Runtime {
        acquirer: SocketId,
        owner: Owner,
        flags: u32,
    },
    Persistent {
        uid: u32,
        /// As the kernel part keeps and lists them.
        consumers: Vec<(u32, u64)>,
    },
}

impl Reservation {
    pub(crate) fn ports(&self) -> RangeInclusive<u16> {
        self.start..=self.start + (self.count - 1)
    }

    pub(crate) fn acquirer(&self) -> Option<SocketId> {
        match self.lifetime {
            Lifetime::Runtime { acquirer, .. } => Some(acquirer),
            Lifetime::Persistent { .. } => None,
        }
    }

    pub(crate) fn owner_ids(&self) -> (u32, u32) {
        match self.lifetime {
            Lifetime::Runtime { owner, .. } => (owner.pid, owner.uid),
            Lifetime::Persistent { uid, .. } => (0, uid),
        }
    }

    pub(super) fn told(&self, port: u16) -> Told {
        let (pid, uid) = self.owner_ids();
        Told {
            pid,
            uid,
            since: self.since.unwrap_or(0),
            ..Told::new(CONFLICT_RESERVED, self.udp, port)
        }
    }
}

impl Model {
    pub(crate) fn reservation_at(
        &self,
        netns: Netns,
        udp: bool,
        port: u16,
    ) -> Option<&Reservation> {
        self.reservations
            .iter()
            .find(|it| (it.netns, it.udp) == (netns, udp) && it.ports().contains(&port))
    }

    pub(crate) fn reservation_of(&self, netns: Netns, token: u64) -> Option<&Reservation> {
        self.reservations
            .iter()
            .find(|it| it.netns == netns && it.token == Some(token))
    }

    /// Whether the process may bind there by a socket that is not associated.
    fn may_bind(&self, reservation: &Reservation, who: ProcessId) -> bool {
        match &reservation.lifetime {
            // Of those here only a container is in another user namespace, and its ids are its own.
            Lifetime::Runtime { owner, flags, .. }
                if flags & USER != 0 && self.process(who).person.uid() == owner.uid =>
            {
                true
            }
            Lifetime::Runtime { owner, flags, .. } if flags & TREE != 0 => {
                self.descends_from(who, owner.process)
            }
            Lifetime::Runtime { owner, flags, .. } => flags & PROCESS != 0 && owner.process == who,
            Lifetime::Persistent { consumers, .. } => {
                let person = self.process(who).person;
                consumers.iter().any(|consumer| match *consumer {
                    (1, uid) => uid == u64::from(person.uid()),
                    (2, gid) => person == Person::Bob && gid == u64::from(BOBS_GROUP),
                    _ => true,
                })
            }
        }
    }

    /// The refusal that a stranger to a reserved port meets.
    pub(crate) fn refuse_stranger(
        &self,
        who: ProcessId,
        socket: SocketId,
        port: u16,
    ) -> Option<Told> {
        let socket = self.socket(socket);
        let reservation = self.reservation_at(socket.netns, socket.udp, port)?;
        (!self.may_bind(reservation, who)).then(|| reservation.told(port))
    }

    pub(crate) fn ask_release(&self, who: ProcessId, socket: SocketId, token: u64) -> Ask {
        let mut ask = Ask::default();
        let netns = self.socket(socket).netns;
        match self.reservation_of(netns, token).map(|it| &it.lifetime) {
            None => ask.refuse(EINVAL, None),
            Some(Lifetime::Runtime { owner, .. }) if owner.process == who => {}
            Some(Lifetime::Persistent { .. }) if self.administers(who, netns) => {
                ask.refuse(EINVAL, None);
            }
            Some(_) => ask.refuse(EACCES, None),
        }
        ask
    }

    pub(crate) fn end(&mut self, netns: Netns, token: u64) {
        self.reservations
            .retain(|it| (it.netns, it.token) != (netns, Some(token)));
    }

    pub(crate) fn ask_claim(&self, who: ProcessId, socket: SocketId, token: u64) -> Ask {
        let mut ask = Ask::default();
        match self.reservation_of(self.socket(socket).netns, token) {
            None => ask.refuse(EINVAL, None),
            Some(it) if it.acquirer() != Some(socket) => ask.refuse(EACCES, None),
            Some(it) if it.charged != self.charged(who) => {
                self.ask_quota(&mut ask, self.charged(who), it.count, None);
            }
            Some(_) => {}
        }
        ask
    }

    pub(crate) fn claim(&mut self, who: ProcessId, socket: SocketId, token: u64) {
        let (claimer, user) = (self.owner(who), self.charged(who));
        let netns = self.socket(socket).netns;
        for it in &mut self.reservations {
            if (it.netns, it.token) == (netns, Some(token))
                && let Lifetime::Runtime { owner, .. } = &mut it.lifetime
            {
                *owner = claimer;
                it.charged = user;
            }
        }
    }
}
