//! The processes of a history of held ports.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::OwnedFd;

use nix::sys::signal::{SigHandler, Signal, signal};
use nix::unistd::{ForkResult, fork};
use portkeep::{Backend, Error, Protocol, Reservation};
use portkeep_tests::{libc, sock};
use serde::{Deserialize, Serialize};

use super::operation::{Flags, Where};
use crate::wire::Wire;

/// What a worker is told to do; it keeps reservations and sockets by number.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Call {
    Acquire {
        to: u32,
        tcp: bool,
        udp: bool,
        /// 0 for a wildcard.
        start: u16,
        count: u16,
        align: u16,
    },
    Own {
        of: u32,
        to: u32,
        place: Where,
    },
    Bind {
        to: u32,
        place: Where,
        flags: Flags,
    },
    Drop {
        of: u32,
    },
    Close {
        socket: u32,
    },
    /// A child with the same, which is told what to do over the wire that comes along.
    Fork,
    Exit,
}

/// What came of it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Answer {
    /// Of the call, 0 if it succeeded.
    pub(crate) errno: i32,
    /// The port in the way, if one is named.
    pub(crate) in_the_way: Option<u16>,
    /// What was acquired.
    pub(crate) start: u16,
    pub(crate) count: u16,
    /// What a socket was bound to.
    pub(crate) port: u16,
    pub(crate) pid: u32,
}

struct Worker {
    wire: Wire,
    reservations: BTreeMap<u32, Reservation>,
    sockets: BTreeMap<u32, OwnedFd>,
}

/// Serves until it is told to exit or its wire is gone.
pub(crate) fn serve(wire: Wire) -> ! {
    // Children are reaped by nobody, and need not be.
    // SAFETY: ignoring a signal calls no handler.
    unsafe { signal(Signal::SIGCHLD, SigHandler::SigIgn) }.expect("ignore SIGCHLD");
    let mut worker = Worker {
        wire,
        reservations: BTreeMap::new(),
        sockets: BTreeMap::new(),
    };
    worker.run()
}

impl Worker {
    fn run(&mut self) -> ! {
        while let Ok((call, fd)) = self.wire.receive::<Call>() {
            if matches!(call, Call::Exit) {
                break;
            }
            let mut answer = Answer::default();
            if let Err(error) = self.execute(call, fd, &mut answer) {
                answer.errno = error.errno().expect("an error with an errno");
                answer.in_the_way = error.conflict().and_then(|conflict| conflict.port);
            }
            self.wire.send(&answer, None::<OwnedFd>).expect("answer");
        }
        // SAFETY: ends the process at once; the trial's exit handlers must not run here.
        unsafe { libc::_exit(0) }
    }

    fn execute(
        &mut self,
        call: Call,
        fd: Option<OwnedFd>,
        answer: &mut Answer,
    ) -> Result<(), Error> {
        match call {
            Call::Acquire {
                to,
                tcp,
                udp,
                start,
                count,
                align,
            } => {
                let mut request = Reservation::builder().backend(Backend::Held).align(align);
                for (wanted, protocol) in [(tcp, Protocol::Tcp), (udp, Protocol::Udp)] {
                    if wanted {
                        request = request.protocol(protocol);
                    }
                }
                let request = match start {
                    0 => request.count(count),
                    // None at all is an empty range.
                    _ => request.range(start..=start + count - 1),
                };
                let reservation = request.acquire()?;
                (answer.start, answer.count) = (reservation.start(), reservation.count());
                self.reservations.insert(to, reservation);
            }
            Call::Own { of, to, place } => {
                let reservation = &self.reservations[&of];
                let port = Some(place.port).filter(|port| *port != 0);
                let socket: OwnedFd = if place.udp {
                    reservation.udp_socket(address(place), port)?.into()
                } else {
                    reservation.tcp_listener(address(place), port)?.into()
                };
                answer.port = sock::local_port(&socket);
                self.sockets.insert(to, socket);
            }
            Call::Bind { to, place, flags } => {
                let socket = match (place.udp, place.v6) {
                    (false, false) => sock::tcp4(),
                    (false, true) => sock::tcp6(),
                    (true, false) => sock::udp4(),
                    (true, true) => sock::udp6(),
                };
                sock::reuseaddr(&socket, flags.reuseaddr);
                sock::reuseport(&socket, flags.reuseport);
                match sock::bind(&socket, address(place), place.port) {
                    Ok(()) => {
                        answer.port = sock::local_port(&socket);
                        self.sockets.insert(to, socket.into());
                    }
                    Err(errno) => answer.errno = errno,
                }
            }
            Call::Drop { of } => drop(self.reservations.remove(&of)),
            Call::Close { socket } => drop(self.sockets.remove(&socket)),
            Call::Fork => answer.pid = self.fork(fd.expect("the child's wire")),
            Call::Exit => unreachable!("run() ends"),
        }
        Ok(())
    }

    fn fork(&mut self, wire: OwnedFd) -> u32 {
        // SAFETY: a worker has one thread, so the child may do whatever it could.
        match unsafe { fork() }.expect("fork") {
            ForkResult::Parent { child } => child.as_raw().cast_unsigned(),
            ForkResult::Child => {
                self.wire = Wire::from_fd(wire);
                self.run()
            }
        }
    }
}

fn address(place: Where) -> IpAddr {
    match (place.v6, place.loopback) {
        (false, false) => Ipv4Addr::UNSPECIFIED.into(),
        (false, true) => Ipv4Addr::LOCALHOST.into(),
        (true, false) => Ipv6Addr::UNSPECIFIED.into(),
        (true, true) => Ipv6Addr::LOCALHOST.into(),
    }
}
