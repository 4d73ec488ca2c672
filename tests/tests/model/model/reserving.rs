//! What may be reserved.

use portkeep_tests::libc::{EACCES, EADDRINUSE, EADDRNOTAVAIL, EDQUOT, EINVAL};
use portkeep_tests::raw::{
    CONFLICT_AUTOMATIC, CONFLICT_IN_USE, CONFLICT_NOT_PERMITTED, CONFLICT_QUOTA, CONFLICT_RESERVED,
    PROCESS, TREE, USER,
};

use super::persistent::consumer;
use super::{Ask, Lifetime, Model, ProcessId, QUOTA, Reservation, SocketId};
use crate::call::Told;
use crate::operation::{Consumer, POOL};

/// What is asked for. `start` 0 is a wildcard.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    pub(crate) start: u16,
    pub(crate) count: u16,
    pub(crate) align: u16,
    pub(crate) adopt: bool,
}

impl Model {
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

    pub(super) fn ask_quota(
        &self,
        ask: &mut Ask,
        user: Option<u32>,
        count: u16,
        told: Option<Told>,
    ) {
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
        if is_malformed(wanted) || flags & !(PROCESS | TREE | USER) != 0 {
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
