//! Sockets, and when two of them are in each other's way.

use super::{Model, Netns, SocketId};
use crate::call::Told;

#[derive(Clone, Debug)]
pub(crate) struct Socket {
    pub(crate) udp: bool,
    pub(crate) v6: bool,
    pub(crate) netns: Netns,
    /// Of the process that made or accepted it.
    pub(crate) uid: u32,
    pub(crate) bound: Option<Bound>,
    pub(crate) state: State,
    /// The address that it was bound to, which outlives a connection (`SOCK_BINDADDR_LOCK`).
    pub(crate) address: Option<Place>,
    /// Whether getsockname(2) may tell a port that it has no more.
    pub(crate) had_port: bool,
    /// A token, 0 for none.
    pub(crate) associated: u64,
    pub(crate) conflict: Told,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Fresh,
    Listening,
    /// Of TCP, to another socket of the history.
    Connected {
        peer: SocketId,
    },
    /// Of UDP, or the other end was closed.
    Done,
}

/// Addresses, as a set of bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place(u8);

#[derive(Clone, Copy, Debug)]
pub(crate) struct Bound {
    pub(crate) port: u16,
    pub(crate) place: Place,
    /// A connection is at one address, but still in the way of some that its socket was at.
    pub(crate) perhaps: Place,
    /// To a port that was asked for, which outlives a connection (`SOCK_BINDPORT_LOCK`).
    pub(crate) asked_for: bool,
    /// By connect(2), which lets other connections share the port.
    pub(crate) by_connect: bool,
}

impl Place {
    /// The address that a socket of the family binds to. IPv6 sockets are dual-stack.
    pub(crate) fn of(v6: bool, loopback: bool) -> Place {
        Place(match (v6, loopback) {
            (false, true) => 0b0001,
            (false, false) => 0b0011,
            (true, true) => 0b0100,
            (true, false) => 0b1111,
        })
    }

    pub(crate) fn overlaps(self, other: Place) -> bool {
        self.0 & other.0 != 0
    }
}

impl Socket {
    pub(crate) fn new(udp: bool, v6: bool, netns: Netns, uid: u32) -> Socket {
        Socket {
            udp,
            v6,
            netns,
            uid,
            bound: None,
            state: State::Fresh,
            address: None,
            had_port: false,
            associated: 0,
            conflict: Told::default(),
        }
    }

    pub(crate) fn reset(&mut self) {
        self.state = State::Done;
        self.let_port_go();
    }

    /// A port that was not asked for goes with the connection.
    fn let_port_go(&mut self) {
        if self.bound.is_some_and(|bound| !bound.asked_for) {
            self.bound = None;
            self.had_port = true;
        }
    }

    /// Where it is when nothing is connected to it.
    pub(crate) fn home(&self) -> Place {
        self.address.unwrap_or(Place::of(self.v6, false))
    }

    /// What connect(2) to `AF_UNSPEC` does, which never fails. A TCP socket that is closed already
    /// keeps its port.
    pub(crate) fn disconnect(&mut self) {
        if self.udp || !matches!(self.state, State::Fresh | State::Done) {
            self.let_port_go();
        }
        let home = self.home();
        if let Some(bound) = &mut self.bound {
            (bound.place, bound.perhaps) = (home, home);
        }
        self.state = State::Fresh;
    }

    pub(crate) fn port(&self) -> u16 {
        self.bound.map_or(0, |bound| bound.port)
    }
}

impl Model {
    /// The sockets that use a port, in whatever way.
    pub(crate) fn users(
        &self,
        netns: Netns,
        udp: bool,
        port: u16,
    ) -> impl Iterator<Item = (&Socket, Bound)> {
        self.sockets
            .values()
            .filter(move |it| (it.netns, it.udp) == (netns, udp))
            .filter_map(move |it| Some((it, it.bound.filter(|bound| bound.port == port)?)))
    }

    pub(crate) fn is_in_use(&self, netns: Netns, udp: bool, port: u16) -> bool {
        self.users(netns, udp, port).next().is_some()
    }

    /// Whether a socket without flags cannot bind there for another socket.
    pub(crate) fn collides(&self, netns: Netns, udp: bool, port: u16, place: Place) -> bool {
        self.users(netns, udp, port)
            .any(|(_, bound)| bound.place.overlaps(place))
    }

    /// Whether it perhaps cannot.
    pub(crate) fn may_collide(&self, netns: Netns, udp: bool, port: u16, place: Place) -> bool {
        self.users(netns, udp, port)
            .any(|(_, bound)| bound.perhaps.overlaps(place))
    }

    /// A socket that listens where a client of the family connects to.
    pub(crate) fn listeners(
        &self,
        netns: Netns,
        v6: bool,
    ) -> impl Iterator<Item = (SocketId, u16)> {
        let there = Place::of(v6, true);
        self.sockets.iter().filter_map(move |(id, socket)| {
            let bound = socket.bound?;
            let within_reach = socket.netns == netns
                && socket.state == State::Listening
                && bound.place.overlaps(there);
            within_reach.then_some((*id, bound.port))
        })
    }
}
