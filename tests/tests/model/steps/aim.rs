//! Aiming: most calls at random would fail for the same few reasons.

use crate::model::{Lifetime, ProcessId, Reservation, Socket, SocketId, State};
use crate::operation::{EXCLUDABLE, Operation, Range, Token, What};
use crate::world::{At, World, pick};

impl World<'_> {
    /// The operation, changed such that it has a chance.
    pub(crate) fn aim(&self, who: ProcessId, operation: &Operation) -> (At, What) {
        let number = operation.socket;
        let mut at = self.at(who, number);
        let mut what = operation.what.clone();
        match &mut what {
            What::Associate { token } => {
                at = self.at_one(who, number, |it| self.model.socket(it).bound.is_none());
                let of = self.model.socket(at.socket);
                self.choose_token(token, |it| {
                    let ours = match &it.lifetime {
                        Lifetime::Runtime { owner, .. } => owner.process == who,
                        Lifetime::Persistent { .. } => true,
                    };
                    (it.netns, it.udp) == (of.netns, of.udp) && ours
                });
            }
            What::Bind { port, .. } => {
                let unbound = |it: &Socket| it.bound.is_none() && it.state == State::Fresh;
                at = self.at_one(who, number, |it| unbound(self.model.socket(it)));
                if number.is_multiple_of(2) {
                    at = self.at_one(who, number, |it| {
                        let it = self.model.socket(it);
                        unbound(it) && it.associated != 0
                    });
                }
                let of = self.model.socket(at.socket);
                let mut near = self.model.reservations.iter().filter(|it| {
                    (it.netns, it.udp) == (of.netns, of.udp)
                        && (of.associated == 0 || it.token == Some(of.associated))
                });
                if *port != 0
                    && !number.is_multiple_of(4)
                    && let Some(block) = near.nth(usize::from(*port % 3)).or(near.next())
                {
                    *port = block.start + *port % block.count;
                }
            }
            What::Listen | What::Connect { .. } => {
                at = self.at_one(who, number, |it| {
                    let it = self.model.socket(it);
                    !it.udp && it.state == State::Fresh
                });
                if let What::Connect { .. } = operation.what {
                    at = match number % 4 {
                        0 => at,
                        1 => self.at_one(who, number, |it| self.is_bound_in_vain(it)),
                        _ => self.at_one(who, number, |it| self.is_bound_by_connect(it)),
                    };
                }
            }
            What::Disconnect => {
                at = self.at_one(who, number, |it| {
                    let it = self.model.socket(it);
                    it.bound.is_some() || it.state != State::Fresh
                });
            }
            What::BindAddress { .. } => {
                at = self.at_one(who, number, |it| {
                    let it = self.model.socket(it);
                    it.bound.is_none() && it.state == State::Fresh
                });
                if number.is_multiple_of(3) {
                    at = self.at_one(who, number, |it| self.is_bound_by_connect(it));
                }
            }
            What::Claim { token } => {
                let acquired = |it: SocketId| {
                    let mut all = self.model.reservations.iter();
                    all.any(|reservation| reservation.acquirer() == Some(it))
                };
                at = self.at_one(who, number, acquired);
                self.choose_token(token, |it| it.acquirer() == Some(at.socket));
            }
            What::Release { token } => self.choose_token(token, |it| match &it.lifetime {
                Lifetime::Runtime { owner, .. } => owner.process == who,
                Lifetime::Persistent { .. } => false,
            }),
            What::Acquire { start, .. } if EXCLUDABLE.contains(start) => {
                // What is kept for one protocol is for the other one, too.
                let of = self.model.socket(at.socket);
                let free = |port: &u16| {
                    !self.model.is_automatic(of.netns, *port)
                        && self.model.reservation_at(of.netns, of.udp, *port).is_none()
                };
                *start = EXCLUDABLE.into_iter().find(free).unwrap_or(*start);
            }
            What::Create { .. } => {
                if let Some(better) = self.at_administered() {
                    at = better;
                }
            }
            What::Delete { range, .. } | What::LookUp { range } => {
                if let Range::Of { .. } = range
                    && let Some(better) = self.at_persistent()
                {
                    at = better;
                }
            }
            _ => {}
        }
        (at, what)
    }

    /// Whether the socket is given a port of a block as soon as it connects.
    fn is_bound_by_connect(&self, socket: SocketId) -> bool {
        let it = self.model.socket(socket);
        it.bound.is_none() && it.state == State::Fresh && it.associated != 0
    }

    /// Whether that block is full or has ended.
    fn is_bound_in_vain(&self, socket: SocketId) -> bool {
        let it = self.model.socket(socket);
        let block = self.model.reservation_of(it.netns, it.associated);
        let in_use = |port| self.model.is_in_use(it.netns, it.udp, port);
        self.is_bound_by_connect(socket) && block.is_none_or(|block| block.ports().all(in_use))
    }

    /// A descriptor of the process for a socket of that kind, if it has one.
    fn at_one(&self, who: ProcessId, number: u8, kind: impl Fn(SocketId) -> bool) -> At {
        let mut slots = self.model.process(who).slots.clone();
        slots.retain(|(_, socket)| kind(*socket));
        match pick(&slots, number) {
            Some((slot, socket)) => At { who, slot, socket },
            None => self.at(who, number),
        }
    }

    /// A token of a reservation of that kind, if there is one.
    fn choose_token(&self, token: &mut Token, kind: impl Fn(&Reservation) -> bool) {
        let Token::Number(number) = *token else {
            return;
        };
        let all = self.model.reservations.iter().filter(|it| kind(it));
        let wanted: Vec<_> = all.filter_map(|it| it.token).collect();
        if let Some(wanted) = pick(&wanted, number) {
            *token = Token::This(wanted);
        }
    }

    fn ats(&self) -> impl Iterator<Item = At> {
        self.model.processes.iter().flat_map(|(who, process)| {
            process.slots.iter().map(|(slot, socket)| At {
                who: *who,
                slot: *slot,
                socket: *socket,
            })
        })
    }

    fn at_administered(&self) -> Option<At> {
        self.ats().find(|at| {
            self.model
                .administers(at.who, self.model.socket(at.socket).netns)
        })
    }

    /// A socket by which an administrator finds a persistent reservation.
    fn at_persistent(&self) -> Option<At> {
        self.ats().find(|at| {
            self.model
                .administers(at.who, self.model.socket(at.socket).netns)
                && self.model.persistent(at.socket).next().is_some()
        })
    }
}
