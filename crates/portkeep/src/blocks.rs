//! Reservations of the kernel part or of Windows: a block of each protocol.

use std::iter;

#[cfg(target_os = "linux")]
use crate::kernel::protocol_of;
use crate::socket::{BorrowedSocket, OwnedSocket, borrow};
use crate::sockopt;
use crate::types::{Error, PortRange, Protocol, Token};
#[cfg(windows)]
use crate::windows::sockopt::protocol_of;

/// The same numbers of one protocol or of several.
#[derive(Debug)]
pub(crate) struct Blocks {
    first: Block,
    others: Vec<Block>,
}

/// The ports of one protocol.
#[derive(Debug)]
pub(crate) struct Block {
    pub(crate) socket: OwnedSocket,
    pub(crate) range: PortRange,
    pub(crate) token: Token,
}

impl Block {
    /// One of each protocol, or none.
    pub(crate) fn each(
        protocols: &[Protocol],
        acquire: impl Fn(Protocol) -> Result<Block, Error>,
    ) -> Result<Vec<Block>, Error> {
        protocols.iter().copied().map(acquire).collect()
    }
}

impl Blocks {
    pub(crate) fn new(first: Block, others: Vec<Block>) -> Blocks {
        Blocks { first, others }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Block> {
        iter::once(&self.first).chain(&self.others)
    }

    /// The first and the last port, the same of every protocol.
    pub(crate) fn numbers(&self) -> (u16, u16) {
        (self.first.range.start(), self.first.range.end())
    }

    pub(crate) fn ranges(&self) -> impl Iterator<Item = PortRange> {
        self.iter().map(|block| block.range)
    }

    fn block(&self, protocol: Protocol) -> Option<&Block> {
        self.iter().find(|block| block.range.protocol() == protocol)
    }

    pub(crate) fn token(&self, protocol: Protocol) -> Option<Token> {
        self.block(protocol).map(|block| block.token)
    }

    pub(crate) fn associate(&self, socket: BorrowedSocket<'_>) -> Result<(), Error> {
        self.associate_with_block(socket).map(drop)
    }

    fn associate_with_block(&self, socket: BorrowedSocket<'_>) -> Result<&Block, Error> {
        let protocol = protocol_of(socket)?;
        let block = self
            .block(protocol)
            .ok_or_else(|| Error::wrong_protocol(protocol))?;
        sockopt::associate(socket, block.token)?;
        Ok(block)
    }

    /// Associates a socket that is to be bound to a port, or to any for 0; gives the ports.
    pub(crate) fn admit(&self, socket: BorrowedSocket<'_>, port: u16) -> Result<PortRange, Error> {
        let range = self.associate_with_block(socket)?.range;
        if port != 0 && !range.contains(port) {
            return Err(Error::outside_block(port, range));
        }
        Ok(range)
    }

    pub(crate) fn sockets(&self) -> impl Iterator<Item = BorrowedSocket<'_>> {
        self.iter().map(|block| borrow(&block.socket))
    }

    pub(crate) fn into_sockets(self) -> Vec<OwnedSocket> {
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
