//! What the kernel part does with reservations as no other system does.

use std::net::SocketAddr;
use std::os::fd::BorrowedFd;

use super::in_the_way::name_owner;
use super::option::recorded_conflict;
use super::sockopt;
use crate::blocks::Blocks;
use crate::netns;
use crate::sys;
use crate::types::{Error, ErrorKind};

impl Blocks {
    pub(crate) fn bind(&self, socket: BorrowedFd<'_>, address: SocketAddr) -> Result<(), Error> {
        let range = self.admit(socket, address.port())?;
        let port = Some(address.port()).filter(|&port| port != 0);
        sys::bind(socket, address).map_err(|error| {
            let conflict = recorded_conflict(socket);
            let refusal = Error::from_bind(error, range, port, conflict);
            name_owner(refusal, || netns::cookie_of(socket))
        })
    }

    /// Hands all blocks over, or none.
    pub(crate) fn hand_over(&self, pidfd: BorrowedFd<'_>) -> Result<(), Error> {
        for (done, block) in self.iter().enumerate() {
            let handed = sockopt::hand_over(&block.socket, block.token, pidfd);
            if let Err(error) = handed {
                for block in self.iter().take(done) {
                    sockopt::claim(&block.socket, block.token)?;
                }
                // These sockets acquired the blocks.
                return Err(match error.kind() {
                    ErrorKind::NotOwner => Error::new(
                        ErrorKind::ForeignProcess,
                        libc::EACCES,
                        "handing over is refused: the process is another user's",
                    ),
                    _ => error,
                });
            }
        }
        Ok(())
    }
}
