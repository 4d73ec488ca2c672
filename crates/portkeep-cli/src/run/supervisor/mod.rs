//! Lets the command bind to ports that are held by sockets.
//!
//! The command's tree runs under a seccomp filter that stops bind(2) and listen(2) and tells the
//! holder of them (seccomp_unotify(2)). Where they are about a held port the holder makes the call
//! itself, on a copy of the socket, which is the same socket: the address is read once, so the
//! command cannot change it after it was looked at, and it is bound by the one process that can let
//! it in. Every other call goes on as it was made. What the command changes in it meanwhile is of no
//! use to it: a held port refuses whoever is not let in.
//!
//! To look at a call may take for ever: the address may be in memory that the command itself has to fill,
//! and the socket locked by a call of its own that waits for such memory. So each call has a thread to
//! itself, see [`threads`].
//!
//! If the holder is gone the kernel fails the calls with ENOSYS; nobody waits for it.

mod address;
mod filter;
mod handover;
mod notification;
mod opened;
mod target;
mod threads;

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::{Arc, PoisonError, RwLock};

use nix::errno::Errno;
use portkeep::ErrorKind;

use crate::holding::Holding;
use crate::run::attempts::Attempts;
use crate::run::supervisor::notification::{Call, Listener, Notification, Reply};
use crate::run::supervisor::opened::Opened;
use crate::run::supervisor::target::Target;

pub use handover::{ToHolder, pair};

/// What the holder holds until nobody needs it any more.
#[derive(Debug)]
pub struct Shared {
    holding: RwLock<Option<Holding>>,
    attempts: Attempts,
}

impl Shared {
    pub fn new(holding: Holding) -> Arc<Self> {
        Arc::new(Self {
            holding: RwLock::new(Some(holding)),
            attempts: Attempts::default(),
        })
    }

    /// The ports that were asked for in vain, perhaps.
    pub fn attempts(&self) -> &Attempts {
        &self.attempts
    }

    /// Does something with it, if it is still there.
    pub fn with<T>(&self, act: impl FnOnce(&Holding) -> T) -> Option<T> {
        let holding = self.holding.read().unwrap_or_else(PoisonError::into_inner);
        holding.as_ref().map(act)
    }

    /// Frees the ports, once nobody is being let in.
    pub fn release(&self) {
        *self.holding.write().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// The holder's side of the filter.
#[derive(Debug)]
pub struct Supervisor {
    listener: Listener,
    holding: Arc<Shared>,
    opened: Opened,
}

impl Supervisor {
    fn new(listener: Listener, holding: Arc<Shared>) -> Self {
        Self {
            listener,
            holding,
            opened: Opened::default(),
        }
    }

    /// Answers a call.
    fn serve(&self, notification: &Notification) -> io::Result<()> {
        // What cannot be looked at is left to the kernel, and meets the holders there.
        let reply = self.answer(notification).unwrap_or(Reply::Continue);
        self.listener.reply(notification, reply)
    }

    fn answer(&self, notification: &Notification) -> Option<Reply> {
        let target = Target::open(notification.pid)?;
        match notification.call {
            Call::Bind {
                socket,
                address,
                length,
            } => {
                let address = address::parse(&target.read(address, length)?)?;
                let port = address.port();
                if port == 0 {
                    return None;
                }
                if !self.holding.with(|holding| holding.has_port(port))? {
                    self.holding.attempts().note(port);
                    return None;
                }
                let socket = self.socket(&target, notification, socket)?;
                if target::family(socket.as_fd()) != Some(address::family(&address)) {
                    return None;
                }
                let reply = self.holding.with(|holding| {
                    holding
                        .reservations_with(port)
                        .map(|reservation| reservation.bind(&socket, address))
                        .find_map(reply)
                })??;
                self.opened.note(port);
                Some(reply)
            }
            Call::Listen { socket, backlog } => {
                let socket = self.socket(&target, notification, socket)?;
                let port = target::port(socket.as_fd())?;
                self.holding.with(|holding| {
                    holding
                        .reservations_with(port)
                        .filter(|reservation| reservation.range(portkeep::Protocol::Tcp).is_some())
                        .map(|reservation| reservation.listen(&socket, backlog))
                        .find_map(reply)
                })?
            }
        }
    }

    /// A copy of the caller's socket, if it is of our network namespace.
    fn socket(&self, target: &Target, notification: &Notification, number: i32) -> Option<OwnedFd> {
        // While the call waits its process id is no other process's.
        if !self.listener.is_waiting(notification) {
            return None;
        }
        let socket = target.descriptor(number)?;
        target::is_of_this_namespace(socket.as_fd()).then_some(socket)
    }
}

/// What the call returns; `None` if it is not about the reservation.
fn reply(result: Result<(), portkeep::Error>) -> Option<Reply> {
    match result {
        Ok(()) => Some(Reply::Return(0)),
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::WrongProtocol | ErrorKind::NotSupportedSocket | ErrorKind::NotASocket
            ) =>
        {
            None
        }
        Err(error) => Some(Reply::Return(error.errno().unwrap_or(Errno::EIO as i32))),
    }
}
