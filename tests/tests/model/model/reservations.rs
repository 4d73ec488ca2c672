//! Reservations: what may be reserved, by whom it is held, and how it ends.

use std::ops::RangeInclusive;

use portkeep_tests::libc::{EACCES, EADDRINUSE, EADDRNOTAVAIL, EDQUOT, EINVAL, ENOENT};
use portkeep_tests::raw::{
    CONFLICT_AUTOMATIC, CONFLICT_IN_USE, CONFLICT_NOT_PERMITTED, CONFLICT_QUOTA, CONFLICT_RESERVED,
    PROCESS, TREE,
};

use super::{Ask, BOBS_GROUP, Model, Netns, Owner, ProcessId, QUOTA, SocketId};
use crate::operation::{Consumer, POOL, Person};
use crate::worker::Told;

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

/// What is asked for. `start` 0 is a wildcard.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    pub(crate) start: u16,
    pub(crate) count: u16,
    pub(crate) align: u16,
    pub(crate) adopt: bool,
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

    fn told(&self, port: u16) -> Told {
        let (pid, uid) = self.owner_ids();
        Told {
            pid,
            uid,
            since: self.since.unwrap_or(0),
            ..Told::new(CONFLICT_RESERVED, self.udp, port)
        }
    }
}

/// A consumer as the ABI has it, and as the kernel keeps it: `None` where the caller's user
/// namespace does not know it.
pub(crate) fn consumer(consumer: Consumer, caller: Person) -> ((u32, u64), Option<(u32, u64)>) {
    let in_container = caller == Person::Container;
    let (kind, id) = match consumer {
        Consumer::Alice => (1, Person::Alice.uid()),
        Consumer::BobsGroup => (2, BOBS_GROUP),
        Consumer::Everybody => (3, 1),
        Consumer::Root => (1, 0),
    };
    let kept = match consumer {
        Consumer::Everybody => Some(id),
        Consumer::Root if in_container => Some(Person::Container.uid()),
        _ if in_container => None,
        _ => Some(id),
    };
    let wide = |id: u32| (kind, u64::from(id));
    (wide(id), kept.map(wide))
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

    /// What a user holds for certain, and what he may hold in namespaces that have gone.
    fn held(&self, user: u32) -> (u32, u32) {
        let mut held = (0, 0);
        for it in self
            .reservations
            .iter()
            .filter(|it| it.charged == Some(user))
        {
            if self.exists(it.netns) {
                held.0 += u32::from(it.count);
            } else {
                held.1 += u32::from(it.count);
            }
        }
        held
    }

    fn ask_quota(&self, ask: &mut Ask, user: Option<u32>, count: u16, told: Option<Told>) {
        let Some(user) = user else { return };
        let (held, perhaps) = self.held(user);
        let wanted = held + u32::from(count);
        if wanted > QUOTA {
            ask.refuse(EDQUOT, told);
        } else if wanted + perhaps > QUOTA {
            ask.perhaps_refuse(EDQUOT, told);
        }
    }

    pub(crate) fn ask_acquire(
        &self,
        who: ProcessId,
        socket: SocketId,
        wanted: Wanted,
        flags: u32,
    ) -> Ask {
        let mut ask = Ask::default();
        if is_malformed(wanted) || flags & !(PROCESS | TREE) != 0 {
            ask.refuse(EINVAL, Some(Told::default()));
        } else {
            self.ask_block(&mut ask, who, socket, wanted);
        }
        ask
    }

    pub(crate) fn ask_create(
        &self,
        who: ProcessId,
        socket: SocketId,
        wanted: Wanted,
        consumers: &[Consumer],
    ) -> Ask {
        let mut ask = Ask::default();
        let caller = self.process(who).person;
        let unknown = |it: &Consumer| consumer(*it, caller).1.is_none();
        if is_malformed(wanted) || consumers.iter().any(unknown) {
            ask.refuse(EINVAL, None);
        }
        if !self.administers(who, self.socket(socket).netns) {
            ask.refuse(EACCES, None);
        }
        if ask.is_granted() {
            self.ask_block(&mut ask, who, socket, wanted);
        }
        ask
    }

    fn ask_block(&self, ask: &mut Ask, who: ProcessId, socket: SocketId, wanted: Wanted) {
        let (netns, udp) = (self.socket(socket).netns, self.socket(socket).udp);
        let told = |kind, port| Some(Told::new(kind, udp, port));
        let quota = told(CONFLICT_QUOTA, 0);
        self.ask_quota(ask, self.charged(who), wanted.count, quota);
        if wanted.start == 0 {
            if !self.has_free_run(who, socket, wanted) {
                for kind in [CONFLICT_RESERVED, CONFLICT_IN_USE, CONFLICT_AUTOMATIC] {
                    ask.refuse(EADDRINUSE, told(kind, 0));
                }
            }
            return;
        }
        if !self.may_use_low_ports(who, netns, wanted.start) {
            ask.refuse(EACCES, told(CONFLICT_NOT_PERMITTED, wanted.start));
        }
        for port in wanted.start..=wanted.start + (wanted.count - 1) {
            if self.is_automatic(netns, port) {
                ask.refuse(EADDRNOTAVAIL, told(CONFLICT_AUTOMATIC, port));
            }
            if let Some(reservation) = self.reservation_at(netns, udp, port) {
                ask.refuse(EADDRINUSE, Some(reservation.told(port)));
            }
            for (user, _) in self.users(netns, udp, port).filter(|_| !wanted.adopt) {
                let told = Told {
                    uid: user.uid,
                    ..Told::new(CONFLICT_IN_USE, udp, port)
                };
                ask.refuse(EADDRINUSE, Some(told));
            }
        }
    }

    fn has_free_run(&self, who: ProcessId, socket: SocketId, wanted: Wanted) -> bool {
        (POOL.0..=POOL.1).any(|start| self.is_free_run(who, socket, Wanted { start, ..wanted }))
    }

    /// Whether a wildcard may be served so.
    fn is_free_run(&self, who: ProcessId, socket: SocketId, run: Wanted) -> bool {
        let (netns, udp) = (self.socket(socket).netns, self.socket(socket).udp);
        let end = u32::from(run.start) + u32::from(run.count) - 1;
        run.start.is_multiple_of(run.align.max(1))
            && run.start >= POOL.0
            && end <= u32::from(POOL.1)
            && (run.start..=end as u16).all(|port| {
                self.may_use_low_ports(who, netns, port)
                    && !self.is_automatic(netns, port)
                    && !self.is_in_use(netns, udp, port)
                    && self.reservation_at(netns, udp, port).is_none()
            })
    }

    /// Takes note of a block that was given; `lifetime` and the user charged are the caller's matter.
    pub(crate) fn reserve(
        &mut self,
        who: ProcessId,
        socket: SocketId,
        wanted: Wanted,
        given: Option<(u16, u16, u64)>,
        lifetime: Lifetime,
    ) -> Result<(), String> {
        let (start, count, token) = given.ok_or("nothing was given")?;
        let given = Wanted {
            start,
            count,
            ..wanted
        };
        if count != wanted.count || wanted.start != 0 && start != wanted.start {
            return Err(format!("{start}+{count} is not what was asked for"));
        }
        if wanted.start == 0 && !self.is_free_run(who, socket, given) {
            return Err(format!("{start}+{count} is not free or not as asked for"));
        }
        self.note_token(token)?;
        let of = self.socket(socket);
        self.reservations.push(Reservation {
            netns: of.netns,
            udp: of.udp,
            start,
            count,
            token: Some(token),
            lifetime,
            charged: self.charged(who),
            since: None,
        });
        Ok(())
    }

    pub(crate) fn note_token(&mut self, token: u64) -> Result<(), String> {
        if token == 0 || self.tokens.contains(&token) {
            return Err(format!("the token {token} is not a new one"));
        }
        self.tokens.push(token);
        Ok(())
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

    pub(crate) fn persistent(&self, socket: SocketId) -> impl Iterator<Item = &Reservation> {
        let of = self.socket(socket);
        self.reservations.iter().filter(|it| {
            (it.netns, it.udp) == (of.netns, of.udp)
                && matches!(it.lifetime, Lifetime::Persistent { .. })
        })
    }

    pub(crate) fn ask_look_up(&self, socket: SocketId, start: u16, count: u16) -> Ask {
        let mut ask = Ask::default();
        if is_no_range(start, count) {
            ask.refuse(EINVAL, None);
        } else if !self
            .persistent(socket)
            .any(|it| (it.start, it.count) == (start, count))
        {
            ask.refuse(ENOENT, None);
        }
        ask
    }

    pub(crate) fn ask_delete(
        &self,
        who: ProcessId,
        socket: SocketId,
        (start, count): (u16, u16),
        part: bool,
    ) -> Ask {
        let mut ask = Ask::default();
        if is_no_range(start, count) {
            ask.refuse(EINVAL, None);
        }
        if !self.administers(who, self.socket(socket).netns) {
            ask.refuse(EACCES, None);
        }
        if ask.is_granted() {
            let end = start + (count - 1);
            let found = self.persistent(socket).any(|it| match part {
                true => it.ports().contains(&start) && it.ports().contains(&end),
                false => it.ports() == (start..=end),
            });
            if !found {
                ask.refuse(ENOENT, None);
            }
        }
        ask
    }

    /// Ends a persistent reservation, or what is within the ports of it.
    pub(crate) fn delete(&mut self, netns: Netns, udp: bool, start: u16, count: u16) {
        let end = start + (count - 1);
        let index = self
            .reservations
            .iter()
            .position(|it| (it.netns, it.udp) == (netns, udp) && it.ports().contains(&start));
        let whole = self.reservations.remove(index.expect("it was granted"));
        let (first, last) = whole.ports().into_inner();
        if first < start {
            self.reservations.push(Reservation {
                count: start - first,
                ..whole.clone()
            });
        }
        if end < last {
            self.reservations.push(Reservation {
                start: end + 1,
                count: last - end,
                token: None,
                ..whole
            });
        }
    }
}

fn is_no_range(start: u16, count: u16) -> bool {
    start == 0 || count == 0 || u32::from(start) + u32::from(count) > 65536
}

fn is_malformed(wanted: Wanted) -> bool {
    let Wanted {
        start,
        count,
        align,
        ..
    } = wanted;
    count == 0
        || u32::from(start) + u32::from(count) > 65536
        || align != 0 && !align.is_power_of_two()
        || align != 0 && !start.is_multiple_of(align)
}
