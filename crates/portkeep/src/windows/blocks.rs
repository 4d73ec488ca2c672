//! Reservations that Windows keeps.

use std::iter;
use std::net::SocketAddr;
use std::os::windows::io::{AsSocket, BorrowedSocket, OwnedSocket};

use super::{acquire, code, sockopt, winsock};
use crate::types::{Backend, Error, ErrorKind, PortRange, Protocol, Request, Token};

/// The same numbers of one protocol or of several.
#[derive(Debug)]
pub(crate) struct Blocks {
    first: Block,
    others: Vec<Block>,
}

/// The ports of one protocol.
#[derive(Debug)]
pub(super) struct Block {
    pub(super) socket: OwnedSocket,
    pub(super) range: PortRange,
    pub(super) token: Token,
}

impl Blocks {
    pub(super) fn new(first: Block, others: Vec<Block>) -> Blocks {
        Blocks { first, others }
    }

    pub(crate) fn default_backend() -> Result<Backend, Error> {
        Ok(Backend::System)
    }

    pub(crate) fn acquire(request: &Request) -> Result<Blocks, Error> {
        match request.backend {
            Backend::Auto | Backend::System => acquire::acquire(request),
            other => Err(Error::not_supported(&format!("the backend `{other}`"))),
        }
    }

    pub(crate) fn claim(sockets: Vec<OwnedSocket>) -> Result<Blocks, (Error, Vec<OwnedSocket>)> {
        Err((Error::not_supported("claiming"), sockets))
    }

    pub(crate) fn claim_token(
        socket: OwnedSocket,
        _range: PortRange,
        _token: Token,
    ) -> Result<Blocks, (Error, Vec<OwnedSocket>)> {
        Blocks::claim(vec![socket])
    }

    pub(crate) fn backend(&self) -> Backend {
        Backend::System
    }

    fn iter(&self) -> impl Iterator<Item = &Block> {
        iter::once(&self.first).chain(&self.others)
    }

    fn block(&self, protocol: Protocol) -> Option<&Block> {
        self.iter().find(|block| block.range.protocol() == protocol)
    }

    pub(crate) fn ranges(&self) -> impl Iterator<Item = PortRange> {
        self.iter().map(|block| block.range)
    }

    /// The first and the last port.
    pub(crate) fn numbers(&self) -> (u16, u16) {
        (self.first.range.start(), self.first.range.end())
    }

    pub(crate) fn token(&self, protocol: Protocol) -> Option<Token> {
        self.block(protocol).map(|block| block.token)
    }

    pub(crate) fn associate(&self, socket: BorrowedSocket<'_>) -> Result<(), Error> {
        self.associate_with_block(socket).map(drop)
    }

    fn associate_with_block(&self, socket: BorrowedSocket<'_>) -> Result<&Block, Error> {
        let protocol = sockopt::protocol_of(socket)?;
        let block = self
            .block(protocol)
            .ok_or_else(|| Error::wrong_protocol(protocol))?;
        sockopt::associate(socket, block.token)?;
        Ok(block)
    }

    pub(crate) fn bind(
        &self,
        socket: BorrowedSocket<'_>,
        address: SocketAddr,
    ) -> Result<(), Error> {
        let block = self.associate_with_block(socket)?;
        let port = Some(address.port()).filter(|&port| port != 0);
        if let Some(port) = port.filter(|&port| !block.range.contains(port)) {
            return Err(Error::outside_block(port, block.range));
        }
        winsock::bind_to(socket, address).map_err(|error| code::of_bind(error, block.range, port))
    }

    pub(crate) fn listen(&self, socket: BorrowedSocket<'_>, backlog: i32) -> Result<(), Error> {
        let failed = |error| code::of_call("listening", error);
        if let Some(address) = winsock::unbound_stream(socket).map_err(failed)? {
            match self.bind(socket, address) {
                // Another thread was faster.
                Err(error) if error.kind() == ErrorKind::AlreadyBound => {}
                bound => bound?,
            }
        }
        winsock::start_listening(socket, backlog).map_err(failed)
    }

    pub(crate) fn sockets(&self) -> impl Iterator<Item = BorrowedSocket<'_>> {
        self.iter().map(|block| block.socket.as_socket())
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

/// A socket of a family, not inherited by child processes. Windows needs no `SO_REUSEADDR`.
pub(crate) fn open(protocol: Protocol, is_ipv6: bool) -> Result<OwnedSocket, Error> {
    winsock::socket(protocol, is_ipv6).map_err(|error| code::of_call("making a socket", error))
}
