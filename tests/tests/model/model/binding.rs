//! Associating, binding, and the ports that come by themselves.

use portkeep_tests::libc::{EACCES, EADDRINUSE, EADDRNOTAVAIL, EINVAL};
use portkeep_tests::raw::{CONFLICT_ENDED, CONFLICT_IN_USE, CONFLICT_NOT_PERMITTED};

use super::{Ask, Bound, Lifetime, Model, Place, ProcessId, Socket, SocketId, State};
use crate::call::Told;
use crate::operation::AUTOMATIC;

impl Model {
    pub(crate) fn ask_associate(&self, who: ProcessId, socket: SocketId, token: u64) -> Ask {
        let mut ask = Ask::default();
        let of = self.socket(socket);
        let allowed = match self.reservation_of(of.netns, token) {
            Some(it) if it.udp == of.udp && of.bound.is_none() => match it.lifetime {
                Lifetime::Runtime { owner, .. } => owner.process == who,
                Lifetime::Persistent { .. } => self.administers(who, of.netns),
            },
            _ => {
                ask.refuse(EINVAL, None);
                return ask;
            }
        };
        if !allowed {
            ask.refuse(EACCES, None);
        }
        ask
    }

    /// What bind(2) may come to, and with port 0 also to which ports.
    pub(crate) fn ask_bind(
        &self,
        who: ProcessId,
        socket: SocketId,
        place: Place,
        port: u16,
    ) -> (Ask, Vec<u16>) {
        let mut ask = Ask::default();
        let of = self.socket(socket);
        let mut ports = vec![port];
        if of.associated != 0 {
            match self.reservation_of(of.netns, of.associated) {
                Some(block) if port != 0 && !block.ports().contains(&port) => {
                    ask.refuse(EADDRNOTAVAIL, Some(Told::default()));
                    return (ask, ports);
                }
                Some(_) if port != 0 => {}
                _ => {
                    ports = self.ask_associated(&mut ask, of);
                    if !ask.is_granted() {
                        return (ask, ports);
                    }
                }
            }
        } else if port != 0
            && let Some(told) = self.refuse_stranger(who, socket, port)
        {
            ask.refuse(EADDRINUSE, Some(told));
            return (ask, ports);
        }
        // From here on the kernel alone.
        if ports == [0] {
            ports = self.automatic(socket, place);
            if ports.is_empty() {
                ask.refuse(EADDRINUSE, None);
            }
        }
        if port != 0 && !self.may_use_low_ports(who, of.netns, port) {
            ask.refuse(EACCES, None);
        }
        if of.bound.is_some() || of.state != State::Fresh {
            ask.refuse(EINVAL, None);
        } else if port != 0 && self.collides(of.netns, of.udp, port, place) {
            ask.refuse(EADDRINUSE, None);
        } else if port != 0 && self.may_collide(of.netns, of.udp, port, place) {
            ask.perhaps_refuse(EADDRINUSE, None);
        }
        (ask, ports)
    }

    /// The ports that an associated socket may be given.
    fn ask_associated(&self, ask: &mut Ask, of: &Socket) -> Vec<u16> {
        let Some(block) = self.reservation_of(of.netns, of.associated) else {
            // Its ports are others' now: who has the first of them is told.
            let first = of.associated as u16;
            let told = match self.reservation_at(of.netns, of.udp, first) {
                Some(other) => other.told(first),
                None => Told::new(CONFLICT_ENDED, of.udp, first),
            };
            ask.refuse(EADDRNOTAVAIL, Some(told));
            return Vec::new();
        };
        let ports: Vec<_> = block
            .ports()
            .filter(|port| !self.is_in_use(of.netns, of.udp, *port))
            .collect();
        if ports.is_empty() {
            let full = Told::new(CONFLICT_IN_USE, of.udp, 0);
            ask.refuse(EADDRINUSE, Some(full));
        }
        ports
    }

    /// What connect(2) of an unbound socket may come to, and to which ports it may be bound: if it is
    /// associated to those of its block.
    pub(crate) fn ask_connect(&self, who: ProcessId, socket: SocketId) -> (Ask, Vec<u16>) {
        let mut ask = Ask::default();
        let of = self.socket(socket);
        if of.associated == 0 {
            let ports = match of.udp {
                // Before it is at the address that it connects from.
                true => self.automatic(socket, of.home()),
                false => self.automatic_of_connect(socket),
            };
            return (ask, ports);
        }
        let mut ports = self.ask_associated(&mut ask, of);
        let some = !ports.is_empty();
        let refused = Told::new(CONFLICT_NOT_PERMITTED, of.udp, 0);
        let all = ports.len();
        ports.retain(|port| self.may_use_low_ports(who, of.netns, *port));
        if some && ports.is_empty() {
            ask.refuse(EACCES, Some(refused));
        } else if ports.len() < all {
            ask.perhaps_refuse(EACCES, Some(refused));
        }
        (ask, ports)
    }

    /// What listen(2) may come to. The kernel looks at a port again that the socket is bound to: if it
    /// listened before, connections may be there.
    pub(crate) fn ask_listen(&self, socket: SocketId) -> Ask {
        let mut ask = Ask::default();
        let of = self.socket(socket);
        let Some(bound) = of.bound.filter(|_| of.state == State::Fresh) else {
            return ask;
        };
        let others = || {
            let others = self.sockets.iter().filter(|(id, _)| **id != socket);
            let others = others.filter(|(_, it)| (it.netns, it.udp) == (of.netns, of.udp));
            others
                .filter_map(|(_, it)| it.bound)
                .filter(|it| it.port == bound.port)
        };
        if others().any(|it| it.place.overlaps(bound.place)) {
            ask.refuse(EADDRINUSE, None);
        } else if others().any(|it| it.perhaps.overlaps(bound.place)) {
            ask.perhaps_refuse(EADDRINUSE, None);
        }
        ask
    }

    /// The ports that bind(2) to 0, listen(2), and connect(2) of UDP may choose.
    pub(crate) fn automatic(&self, socket: SocketId, place: Place) -> Vec<u16> {
        let of = self.socket(socket);
        (AUTOMATIC.0..=AUTOMATIC.1)
            .filter(|port| self.may_be_chosen(socket, *port))
            .filter(|port| !self.collides(of.netns, of.udp, *port, place))
            .collect()
    }

    /// Never one that is reserved.
    fn may_be_chosen(&self, socket: SocketId, port: u16) -> bool {
        let of = self.socket(socket);
        self.is_automatic(of.netns, port) && self.reservation_at(of.netns, of.udp, port).is_none()
    }

    /// The ports that connect(2) of TCP may choose: those of other connections too.
    pub(crate) fn automatic_of_connect(&self, socket: SocketId) -> Vec<u16> {
        let of = self.socket(socket);
        (AUTOMATIC.0..=AUTOMATIC.1)
            .filter(|port| self.may_be_chosen(socket, *port))
            .filter(|port| {
                self.users(of.netns, of.udp, *port)
                    .all(|(_, bound)| bound.by_connect)
            })
            .collect()
    }

    /// Takes note of a port that a socket was given, one of those that it might be.
    pub(crate) fn bind(
        &mut self,
        socket: SocketId,
        port: u16,
        ports: &[u16],
        bound: Bound,
    ) -> Result<(), String> {
        if !ports.contains(&port) {
            return Err(format!("the port {port} is none of {ports:?}"));
        }
        let socket = self.socket_mut(socket);
        socket.bound = Some(Bound { port, ..bound });
        socket.had_port = false;
        Ok(())
    }
}
