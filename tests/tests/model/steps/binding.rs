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
        // An address that it keeps is another story.
        if socket.state == State::Done || socket.bound.is_none() && socket.address.is_some() {
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
            self.model.socket_mut(at.socket).address = loopback.then_some(bound.place);
        }
        self.check_socket(at, &answer)
    }

    /// Without a port, unless it is associated: then it is given one at once.
    pub(super) fn bind_address(&mut self, at: At, loopback: bool) -> Result<(), String> {
        let socket = self.model.socket(at.socket);
        if socket.bound.is_some() || socket.address.is_some() || socket.state != State::Fresh {
            return Ok(());
        }
        let place = Place::of(socket.v6, loopback);
        let associated = socket.associated != 0;
        let (ask, ports) = match associated {
            true => self.model.ask_bind(at.who, at.socket, place, 0),
            false => (Ask::default(), vec![0]),
        };
        let call = Call::BindAddress {
            slot: at.slot,
            loopback,
        };
        let (granted, answer) = self.judged(at, &call, &ask)?;
        if granted {
            let socket = self.model.socket_mut(at.socket);
            socket.address = loopback.then_some(place);
            socket.had_port = false;
            if associated {
                let bound = Bound {
                    port: 0,
                    place,
                    perhaps: place,
                    asked_for: true,
                    by_connect: false,
                };
                self.model.bind(at.socket, answer.port, &ports, bound)?;
            }
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
            place: socket.home(),
            perhaps: socket.home(),
            asked_for: false,
            by_connect: false,
        };
        let ports = self.model.automatic(at.socket, bound.place);
        let ask = self.model.ask_listen(at.socket);
        let (granted, answer) = self.judged(at, &Call::Listen { slot: at.slot }, &ask)?;
        if granted {
            if unbound {
                self.model.bind(at.socket, answer.port, &ports, bound)?;
            }
            self.model.socket_mut(at.socket).state = State::Listening;
        }
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
        let (ask, ports) = match socket.bound {
            None => self.model.ask_connect(at.who, at.socket),
            Some(_) => (Ask::default(), Vec::new()),
        };
        let call = Call::Connect {
            slot: at.slot,
            port,
        };
        let (granted, answer) = self.judged(at, &call, &ask)?;
        if !granted {
            return self.check_socket(at, &answer);
        }
        let given = Bound {
            port: 0,
            place,
            perhaps: socket.home(),
            asked_for: socket.associated != 0,
            by_connect: !socket.udp && socket.associated == 0,
        };
        match socket.bound {
            None => self.model.bind(at.socket, answer.port, &ports, given)?,
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

    /// It never fails. The other end of a connection notices.
    pub(super) fn disconnect(&mut self, at: At) -> Result<(), String> {
        let call = Call::Disconnect { slot: at.slot };
        let (_, answer) = self.judged(at, &call, &Ask::default())?;
        let peers = self.model.disconnect(at.socket);
        self.check_socket(at, &answer)?;
        self.await_resets(peers)
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
        accepted.address = of.address;
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
