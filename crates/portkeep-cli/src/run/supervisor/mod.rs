//! Lets the command bind to ports that are held by sockets.
//!
//! The command's tree runs under a seccomp filter that stops bind(2) and listen(2) and tells the
//! holder of them (seccomp_unotify(2)). Where they are about a held port the holder makes the call
//! itself, on a copy of the socket, which is the same socket: the address is read once, so the
//! command cannot change it after it was looked at, and it is bound by the one process that can let
//! it in. Every other call goes on as it was made. What the command changes in it meanwhile is of no
//! use to it: a held port refuses whoever is not let in.
//!
//! If the holder is gone the kernel fails the calls with ENOSYS; nobody waits for it.

mod address;
mod filter;
mod handover;
mod notification;
mod target;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use portkeep::ErrorKind;

use crate::holding::Holding;
use crate::run::supervisor::notification::{Call, Listener, Notification, Reply};
use crate::run::supervisor::target::Target;

pub use handover::{ToHolder, pair};

/// The holder's side of the filter.
#[derive(Debug)]
pub struct Supervisor(Listener);

impl Supervisor {
    /// Answers a call that waits, if there still is one.
    pub fn serve(&self, holding: &Holding) -> anyhow::Result<()> {
        let Some(notification) = self.0.receive()? else {
            return Ok(());
        };
        let reply = self.answer(holding, &notification);
        Ok(self.0.reply(&notification, reply)?)
    }

    fn answer(&self, holding: &Holding, notification: &Notification) -> Reply {
        // What cannot be looked at is left to the kernel, and meets the holders there.
        self.try_to_answer(holding, notification)
            .unwrap_or(Reply::Continue)
    }

    fn try_to_answer(&self, holding: &Holding, notification: &Notification) -> Option<Reply> {
        match notification.call {
            Call::Bind {
                socket,
                address,
                length,
            } => {
                let target = Target::open(notification.pid)?;
                let address = address::parse(&target.read(address, length)?)?;
                if address.port() == 0 || !holding.has_port(address.port()) {
                    return None;
                }
                let socket = self.socket(&target, notification, socket)?;
                if target::family(socket.as_fd()) != Some(address::family(&address)) {
                    return None;
                }
                holding
                    .reservations_with(address.port())
                    .map(|reservation| reservation.bind(&socket, address))
                    .find_map(reply)
            }
            Call::Listen { socket, backlog } => {
                let target = Target::open(notification.pid)?;
                let socket = self.socket(&target, notification, socket)?;
                let port = target::port(socket.as_fd())?;
                holding
                    .reservations_with(port)
                    .filter(|reservation| reservation.range(portkeep::Protocol::Tcp).is_some())
                    .map(|reservation| reservation.listen(&socket, backlog))
                    .find_map(reply)
            }
        }
    }

    /// A copy of the caller's socket, if it is of our network namespace.
    fn socket(&self, target: &Target, notification: &Notification, number: i32) -> Option<OwnedFd> {
        // While the call waits its process id is no other process's.
        if !self.0.is_waiting(notification) {
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

impl AsFd for Supervisor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
