//! Associating, binding, listening and connecting.

use crate::call::Call;
use crate::model::{Ask, Bound, Place, Socket, State};
use crate::world::{At, World, pick};

impl World<'_> {
    pub(super) fn associate(&mut self, at: At, token: u64) -> Result<(), String> {
        let ask = self.model.ask_associate(at.who, at.socket, token);
        let call = Call::Associate {
            slot: at.slot,
            token,
        };
        let (granted, answer) = self.judged(at, &call, &ask)?;
        if granted {
            self.model.socket_mut(at.socket).associated = token;
        }
        self.check_socket(at, &answer)
    }

    pub(super) fn bind(&mut self, at: At, loopback: bool, port: u16) -> Result<(), String> {
        let socket = self.model.socket(at.socket);
        if matches!(socket.state, State::Done) {
            return Ok(());
        }
        let bound = Bound {
            port,
            place: Place::of(socket.v6, loopback),
            perhaps: Place::of(socket.v6, loopback),
            asked_for: port != 0 || socket.associated != 0,
            by_connect: false,
        };
        let (ask, ports) = self.model.ask_bind(at.who, at.socket, bound.place, port);
        let call = Call::Bind {
            slot: at.slot,
            loopback,
            port,
        };
        let (granted, answer) = self.judged(at, &call, &ask)?;
        if granted {
            self.model.bind(at.socket, answer.port, &ports, bound)?;
        }
        self.check_socket(at, &answer)
    }

    pub(super) fn listen(&mut self, at: At) -> Result<(), String> {
        let socket = self.model.socket(at.socket);
        if socket.udp || !matches!(socket.state, State::Fresh | State::Listening) {
            return Ok(());
        }
        let unbound = socket.bound.is_none();
        let bound = Bound {
            port: 0,
            place: Place::of(socket.v6, false),
            perhaps: Place::of(socket.v6, false),
            asked_for: false,
            by_connect: false,
        };
        let ports = self.model.automatic(at.socket, bound.place);
        let (_, answer) = self.judged(at, &Call::Listen { slot: at.slot }, &Ask::default())?;
        if unbound {
            self.model.bind(at.socket, answer.port, &ports, bound)?;
        }
        self.model.socket_mut(at.socket).state = State::Listening;
        self.check_socket(at, &answer)
    }

    /// A UDP socket connects to nobody, a TCP socket to one that listens and that accepts at once.
    pub(super) fn connect(&mut self, at: At, to: u8) -> Result<(), String> {
        let socket = self.model.socket(at.socket).clone();
        if socket.state != State::Fresh {
            return Ok(());
        }
        let place = Place::of(socket.v6, true);
        let listeners: Vec<_> = self.model.listeners(socket.netns, socket.v6).collect();
        let (listener, port) = match pick(&listeners, to) {
            _ if socket.udp => (None, 9),
            None => return Ok(()),
            Some((listener, port)) => (Some(listener), port),
        };
        let ports = if socket.udp {
            // The kernel chooses it for all addresses.
            let everywhere = Place::of(socket.v6, false);
            self.model.automatic(at.socket, everywhere)
        } else {
            self.model.automatic_of_connect(at.socket)
        };
        let call = Call::Connect {
            slot: at.slot,
            port,
        };
        let (_, answer) = self.judged(at, &call, &Ask::default())?;
        let automatic = Bound {
            port: 0,
            place,
            perhaps: Place::of(socket.v6, false),
            asked_for: false,
            by_connect: !socket.udp,
        };
        match socket.bound {
            None => self.model.bind(at.socket, answer.port, &ports, automatic)?,
            Some(bound) => {
                self.model.socket_mut(at.socket).bound = Some(Bound { place, ..bound });
            }
        }
        self.model.socket_mut(at.socket).state = State::Done;
        match listener {
            None => self.check_socket(at, &answer),
            Some(listener) => {
                let server = self.accept(listener, place)?;
                self.model.socket_mut(at.socket).state = State::Connected {
                    peer: server.socket,
                };
                self.model.socket_mut(server.socket).state = State::Connected { peer: at.socket };
                self.check_socket(at, &answer)
            }
        }
    }

    fn accept(&mut self, listener: u32, place: Place) -> Result<At, String> {
        let (who, slot) = self.model.holder(listener).expect("an open socket");
        let (to, socket) = (self.number(), self.number());
        self.tell(format_args!("{who} accepts {socket} on {listener}"));
        let answer = self.call(who, &Call::Accept { slot, to })?;
        if answer.errno != 0 {
            return Err(portkeep_tests::errno_name(answer.errno));
        }
        let of = self.model.socket(listener);
        let uid = self.model.process(who).person.uid();
        let mut accepted = Socket::new(false, of.v6, of.netns, uid);
        accepted.bound = Some(Bound {
            port: of.port(),
            place,
            perhaps: Place::of(of.v6, false),
            asked_for: false,
            by_connect: false,
        });
        let at = At {
            who,
            slot: to,
            socket,
        };
        self.model.sockets.insert(socket, accepted);
        self.add_slot(at);
        self.check_socket(at, &answer)?;
        Ok(at)
    }
}
