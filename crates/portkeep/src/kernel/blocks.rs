//! Reservations that the kernel part keeps.

use std::iter;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::in_the_way::name_owner;
use super::option::{protocol_of, recorded_conflict};
use super::sockopt;
use crate::netns;
use crate::sys;
use crate::types::{Error, ErrorKind, PortRange, Protocol, Token};

/// The same numbers of one protocol or of several.
#[derive(Debug)]
pub(crate) struct Blocks {
    first: Block,
    others: Vec<Block>,
}

/// The ports of one protocol.
#[derive(Debug)]
pub(crate) struct Block {
    pub(crate) socket: OwnedFd,
    pub(crate) range: PortRange,
    pub(crate) token: Token,
}

impl Blocks {
    pub(crate) fn new(first: Block, others: Vec<Block>) -> Blocks {
        Blocks { first, others }
    }

    fn iter(&self) -> impl Iterator<Item = &Block> {
        iter::once(&self.first).chain(&self.others)
    }

    fn block(&self, protocol: Protocol) -> Option<&Block> {
        self.iter().find(|block| block.range.protocol() == protocol)
    }

    /// The ports of the first protocol, whose numbers are those of the others too.
    pub(crate) fn numbers(&self) -> PortRange {
        self.first.range
    }

    pub(crate) fn ranges(&self) -> impl Iterator<Item = PortRange> {
        self.iter().map(|block| block.range)
    }

    pub(crate) fn token(&self, protocol: Protocol) -> Option<Token> {
        self.block(protocol).map(|block| block.token)
    }

    pub(crate) fn associate(&self, socket: BorrowedFd<'_>) -> Result<(), Error> {
        self.associate_with_block(socket).map(drop)
    }

    fn associate_with_block(&self, socket: BorrowedFd<'_>) -> Result<&Block, Error> {
        let protocol = protocol_of(socket)?;
        let block = self
            .block(protocol)
            .ok_or_else(|| Error::wrong_protocol(protocol))?;
        sockopt::associate(socket, block.token)?;
        Ok(block)
    }

    pub(crate) fn bind(&self, socket: BorrowedFd<'_>, address: SocketAddr) -> Result<(), Error> {
        let block = self.associate_with_block(socket)?;
        let port = Some(address.port()).filter(|&port| port != 0);
        if let Some(port) = port.filter(|&port| !block.range.contains(port)) {
            return Err(Error::outside_block(port, block.range));
        }
        sys::bind(socket, address).map_err(|error| {
            let conflict = recorded_conflict(socket);
            let refusal = Error::from_bind(error, block.range, port, conflict);
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

    pub(crate) fn sockets(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.iter().map(|block| block.socket.as_fd())
    }

    pub(crate) fn into_sockets(self) -> Vec<OwnedFd> {
        iter::once(self.first)
            .chain(self.others)
            .map(|block| block.socket)
            .collect()
    }

    pub(crate) fn release(self) -> Result<(), Error> {
        // All are released before the first error is told.
        self.iter()
            .map(|block| sockopt::release(&block.socket, block.token))
            .fold(Ok(()), Result::and)
    }
}
