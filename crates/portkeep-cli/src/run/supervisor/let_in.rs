//! Making a call for the command, on a socket that is at hand.

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;

use nix::errno::Errno;
use portkeep::{ErrorKind, Protocol};

use crate::run::supervisor::opened::Opened;
use crate::run::supervisor::request::Request;
use crate::run::supervisor::{Shared, address, process, socket};

/// Lets sockets of the command in.
#[derive(Debug)]
pub struct LetIn {
    holding: Arc<Shared>,
    /// The network namespace that the ports are in: another one's are others.
    namespace: u64,
    opened: Opened,
}

impl LetIn {
    pub fn new(holding: Arc<Shared>) -> io::Result<Self> {
        Ok(Self {
            holding,
            namespace: portkeep::netns_cookie()?,
            opened: Opened::default(),
        })
    }

    /// Whether the port is ours and the caller, if it is known, may bind to it. A port that the port server
    /// hands out is one process's.
    pub fn has_port(&self, port: u16, caller: Option<i32>) -> bool {
        let has = self.holding.with(|holding| {
            let pool = holding.pool().filter(|pool| pool.has_port(port));
            holding.has_port(port)
                && pool.is_none_or(|pool| {
                    pool.admits(port, |process| {
                        caller.is_none_or(|thread| process::is_within(thread, process))
                    })
                })
        });
        has.unwrap_or(false)
    }

    /// Notes a port that is not ours and was asked for.
    pub fn note_attempt(&self, port: u16) {
        self.holding.attempts().note(port);
    }

    /// Makes the call of a thread, if it is known; gives 0 or its errno, or `None` if it is not about our ports.
    pub fn make(
        &self,
        caller: Option<i32>,
        socket: BorrowedFd<'_>,
        request: &Request,
    ) -> Option<i32> {
        if socket::namespace(socket) != Some(self.namespace) {
            return None;
        }
        match request {
            Request::Bind(_) => {
                let address = request.address()?;
                if socket::family(socket) != Some(address::family(&address)) {
                    return None;
                }
                let port = address.port();
                if !self.has_port(port, caller) {
                    return None;
                }
                let result = self.holding.with(|holding| {
                    holding
                        .reservations_with(port)
                        .map(|reservation| reservation.bind(socket, address))
                        .find_map(result)
                })??;
                if socket::shares_its_port(socket) {
                    self.opened.note(port);
                }
                Some(result)
            }
            Request::Listen(backlog) => {
                let port = socket::port(socket)?;
                self.holding.with(|holding| {
                    holding
                        .reservations_with(port)
                        .filter(|reservation| reservation.range(Protocol::Tcp).is_some())
                        .map(|reservation| reservation.listen(socket, *backlog))
                        .find_map(result)
                })?
            }
        }
    }

    /// The ports that may have been opened.
    pub fn opened(&self) -> &Opened {
        &self.opened
    }

    /// Takes back what was opened, while `also` has something left or there is something to be taken back.
    pub fn take_back(&self, also: impl Fn() -> bool) {
        self.opened.take_back(&self.holding, also);
    }
}

/// What the call returns; `None` if it is not about the reservation.
fn result(result: Result<(), portkeep::Error>) -> Option<i32> {
    match result {
        Ok(()) => Some(0),
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::WrongProtocol | ErrorKind::NotSupportedSocket | ErrorKind::NotASocket
            ) =>
        {
            None
        }
        Err(error) => Some(error.errno().unwrap_or(Errno::EIO as i32)),
    }
}
