//! Ports that sockets of `run` hold.

use std::collections::HashMap;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsFd as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};
use portkeep::{Protocol, Reservation};

use crate::serve::books::Books;
use crate::serve::ports::{Given, Heir};

/// The held ports and whose each is. The supervisor asks it.
#[derive(Debug)]
pub struct Pool {
    reservations: Vec<Reservation>,
    heirs: Mutex<HashMap<u16, Heir>>,
    /// Whether all of the command's processes may bind to what was handed out.
    for_all: bool,
}

impl Pool {
    pub fn new(reservations: Vec<Reservation>, for_all: bool) -> Self {
        Self {
            reservations,
            heirs: Mutex::default(),
            for_all,
        }
    }

    pub fn reservations(&self) -> &[Reservation] {
        &self.reservations
    }

    pub fn has_port(&self, port: u16) -> bool {
        self.with(port).is_some()
    }

    fn with(&self, port: u16) -> Option<&Reservation> {
        let mut all = self.reservations.iter();
        all.find(|held| (held.start()..=held.end()).contains(&port))
    }

    /// Whether a process may bind to a port: `is_within` says whether it is a given process or descends from
    /// it. A port that was not handed out is nobody's.
    pub fn admits(&self, port: u16, is_within: impl FnOnce(i32) -> bool) -> bool {
        let heir = self.heirs().get(&port).cloned();
        heir.is_some_and(|heir| {
            // While the process lives, its number is no other's.
            self.for_all || (is_within(heir.pid) && !has_ended(&heir))
        })
    }

    fn heirs(&self) -> MutexGuard<'_, HashMap<u16, Heir>> {
        self.heirs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether nobody is bound to a port that was handed out before.
    fn is_unused(&self, port: u16) -> bool {
        let Some(reservation) = self.with(port) else {
            return false;
        };
        let bound = |protocol, family, address: SocketAddr| {
            let kind = match protocol {
                Protocol::Tcp => SockType::Stream,
                _ => SockType::Datagram,
            };
            let Ok(socket) = socket(family, kind, SockFlag::SOCK_CLOEXEC, None) else {
                return family == AddressFamily::Inet6;
            };
            reservation.bind(&socket, address).is_ok()
        };
        [Protocol::Tcp, Protocol::Udp].into_iter().all(|protocol| {
            bound(
                protocol,
                AddressFamily::Inet,
                (Ipv4Addr::UNSPECIFIED, port).into(),
            ) && bound(
                protocol,
                AddressFamily::Inet6,
                (Ipv6Addr::UNSPECIFIED, port).into(),
            )
        })
    }
}

fn has_ended(heir: &Heir) -> bool {
    let mut polled = [PollFd::new(heir.pidfd.as_fd(), PollFlags::POLLIN)];
    poll(&mut polled, PollTimeout::ZERO) != Ok(0)
}

/// The server's side of the pool.
#[derive(Debug)]
pub struct HeldPorts {
    pool: Arc<Pool>,
    books: Books,
}

impl HeldPorts {
    pub fn new(pool: Arc<Pool>) -> Self {
        let ports = pool.reservations.iter().flat_map(Reservation::ports);
        Self {
            books: Books::new(ports.collect()),
            pool,
        }
    }

    pub fn take(&mut self, heir: &Heir) -> (Option<Given>, u64) {
        let (given, checked) = self.books.take_if(|port| self.pool.is_unused(port));
        if let Some(given) = given {
            self.pool.heirs().insert(given.port, heir.clone());
        }
        (given, checked)
    }

    pub fn give_back(&mut self, port: u16) {
        self.pool.heirs().remove(&port);
        self.books.give_back(port);
    }

    pub fn number(&self) -> usize {
        self.books.number()
    }
}
