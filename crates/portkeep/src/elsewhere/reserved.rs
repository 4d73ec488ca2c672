use std::iter;
use std::net::SocketAddr;

use crate::socket::{BorrowedSocket, OwnedSocket};
use crate::types::{Backend, Error, PortRange, Protocol, Request, Token};

/// No queue is as long as this, but nothing listens either.
pub(crate) const BACKLOG: i32 = i32::MAX;

/// Reserved ports, of which there are none.
#[derive(Debug)]
pub(crate) enum Reserved {}

impl Reserved {
    pub(crate) fn default_backend() -> Result<Backend, Error> {
        Err(not_supported())
    }

    pub(crate) fn acquire(_request: &Request) -> Result<Reserved, Error> {
        Err(not_supported())
    }

    pub(crate) fn claim(sockets: Vec<OwnedSocket>) -> Result<Reserved, (Error, Vec<OwnedSocket>)> {
        Err((not_supported(), sockets))
    }

    pub(crate) fn claim_token(
        socket: OwnedSocket,
        _range: PortRange,
        _token: Token,
    ) -> Result<Reserved, (Error, Vec<OwnedSocket>)> {
        Reserved::claim(vec![socket])
    }

    pub(crate) fn backend(&self) -> Backend {
        match *self {}
    }

    pub(crate) fn ranges(&self) -> iter::Empty<PortRange> {
        match *self {}
    }

    pub(crate) fn numbers(&self) -> (u16, u16) {
        match *self {}
    }

    pub(crate) fn token(&self, _protocol: Protocol) -> Option<Token> {
        match *self {}
    }

    pub(crate) fn associate(&self, _socket: BorrowedSocket<'_>) -> Result<(), Error> {
        match *self {}
    }

    pub(crate) fn bind(
        &self,
        _socket: BorrowedSocket<'_>,
        _address: SocketAddr,
    ) -> Result<(), Error> {
        match *self {}
    }

    pub(crate) fn listen(&self, _socket: BorrowedSocket<'_>, _backlog: i32) -> Result<(), Error> {
        match *self {}
    }

    pub(crate) fn sockets(&self) -> iter::Empty<BorrowedSocket<'_>> {
        match *self {}
    }

    pub(crate) fn into_sockets(self) -> Vec<OwnedSocket> {
        match self {}
    }

    pub(crate) fn release(self) -> Result<(), Error> {
        match self {}
    }
}

/// A socket of a family.
pub(crate) fn open(_protocol: Protocol, _is_ipv6: bool) -> Result<OwnedSocket, Error> {
    Err(not_supported())
}

fn not_supported() -> Error {
    Error::not_supported("reserving ports")
}
