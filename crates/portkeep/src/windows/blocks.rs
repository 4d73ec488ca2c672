//! What Windows does with reservations as no other system does.

use std::net::SocketAddr;
use std::os::windows::io::{BorrowedSocket, OwnedSocket};

use super::{acquire, code, winsock};
use crate::blocks::Blocks;
use crate::types::{Backend, Error, ErrorKind, PortRange, Protocol, Request, Token};

impl Blocks {
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

    pub(crate) fn bind(
        &self,
        socket: BorrowedSocket<'_>,
        address: SocketAddr,
    ) -> Result<(), Error> {
        let range = self.admit(socket, address.port())?;
        let port = Some(address.port()).filter(|&port| port != 0);
        winsock::bind_to(socket, address).map_err(|error| code::of_bind(error, range, port))
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
}

/// A socket of a family, not inherited by child processes. Windows needs no `SO_REUSEADDR`.
pub(crate) fn open(protocol: Protocol, is_ipv6: bool) -> Result<OwnedSocket, Error> {
    winsock::socket(protocol, is_ipv6).map_err(|error| code::of_call("making a socket", error))
}
