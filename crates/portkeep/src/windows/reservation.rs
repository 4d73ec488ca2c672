use std::iter;
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::os::windows::io::{AsSocket, BorrowedSocket, OwnedSocket};

use crate::acquire::Acquire;
use crate::error::Error;
#[cfg(doc)]
use crate::error::ErrorKind;
use crate::port_range::PortRange;
use crate::protocol::Protocol;
use crate::token::Token;
use crate::windows::code;
use crate::windows::sockopt;
use crate::windows::winsock;

/// Reserved ports: the same numbers of one protocol or of several.
///
/// The reservation lives while its acquiring sockets are open, of which there is one for each
/// protocol; dropping it closes them.
#[derive(Debug)]
#[must_use = "dropping a reservation releases its ports"]
pub struct Reservation {
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

impl Reservation {
    /// Asks for ports.
    pub fn builder() -> Acquire {
        Acquire::new()
    }

    pub(crate) fn new(first: Block, others: Vec<Block>) -> Reservation {
        Reservation { first, others }
    }

    fn blocks(&self) -> impl Iterator<Item = &Block> {
        iter::once(&self.first).chain(&self.others)
    }

    fn block(&self, protocol: Protocol) -> Option<&Block> {
        self.blocks()
            .find(|block| block.range.protocol() == protocol)
    }

    /// The ports of a protocol; `None` if none of it are reserved.
    pub fn range(&self, protocol: Protocol) -> Option<PortRange> {
        self.block(protocol).map(|block| block.range)
    }

    /// The ports of each protocol.
    pub fn ranges(&self) -> impl Iterator<Item = PortRange> {
        self.blocks().map(|block| block.range)
    }

    /// The first port.
    pub fn start(&self) -> u16 {
        self.first.range.start()
    }

    /// The last port.
    pub fn end(&self) -> u16 {
        self.first.range.end()
    }

    /// The number of ports of each protocol.
    pub fn count(&self) -> u16 {
        self.first.range.count()
    }

    /// The ports in ascending order.
    pub fn ports(
        &self,
    ) -> impl DoubleEndedIterator<Item = u16> + ExactSizeIterator + Clone + use<> {
        self.first.range.ports()
    }

    /// The token of a protocol's ports; `None` if none of it are reserved.
    pub fn token(&self, protocol: Protocol) -> Option<Token> {
        self.block(protocol).map(|block| block.token)
    }

    /// Lets an unbound TCP or UDP socket bind to the reserved ports.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::WrongProtocol`], [`ErrorKind::UnknownToken`] also if the socket is bound,
    /// [`ErrorKind::NotSupportedSocket`], [`ErrorKind::NotASocket`].
    #[doc(alias = "SIO_ASSOCIATE_PORT_RESERVATION")]
    pub fn associate(&self, socket: &(impl AsSocket + ?Sized)) -> Result<(), Error> {
        let socket = socket.as_socket();
        let protocol = sockopt::protocol_of(socket)?;
        sockopt::associate(socket, self.block_of(protocol)?.token)
    }

    fn block_of(&self, protocol: Protocol) -> Result<&Block, Error> {
        self.block(protocol)
            .ok_or_else(|| Error::wrong_protocol(protocol))
    }

    /// A listening TCP socket at a reserved port; `None` takes a free one.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::OutsideBlock`], [`ErrorKind::InUse`], [`ErrorKind::NoFreePort`], and those of
    /// [`associate`](Reservation::associate).
    pub fn tcp_listener(
        &self,
        address: impl Into<IpAddr>,
        port: Option<u16>,
    ) -> Result<TcpListener, Error> {
        let socket = self.bound_socket(Protocol::Tcp, address.into(), port)?;
        winsock::start_listening(socket.as_socket())
            .map_err(|error| code::of_call("listening", error))?;
        Ok(socket.into())
    }

    /// A UDP socket at a reserved port; `None` takes a free one.
    ///
    /// # Errors
    ///
    /// As those of [`tcp_listener`](Reservation::tcp_listener).
    pub fn udp_socket(
        &self,
        address: impl Into<IpAddr>,
        port: Option<u16>,
    ) -> Result<UdpSocket, Error> {
        self.bound_socket(Protocol::Udp, address.into(), port)
            .map(UdpSocket::from)
    }

    fn bound_socket(
        &self,
        protocol: Protocol,
        address: IpAddr,
        port: Option<u16>,
    ) -> Result<OwnedSocket, Error> {
        let block = self.block_of(protocol)?;
        if let Some(port) = port.filter(|&port| !block.range.contains(port)) {
            return Err(Error::outside_block(port, block.range));
        }
        let socket = winsock::socket(protocol, address.is_ipv6())
            .map_err(|error| code::of_call("making a socket", error))?;
        sockopt::associate(&socket, block.token)?;
        winsock::bind_to(
            socket.as_socket(),
            SocketAddr::new(address, port.unwrap_or(0)),
        )
        .map_err(|error| code::of_bind(error, block.range, port))?;
        Ok(socket)
    }

    /// The acquiring sockets. They are not to be bound.
    pub fn sockets(&self) -> impl Iterator<Item = BorrowedSocket<'_>> {
        self.blocks().map(|block| block.socket.as_socket())
    }

    /// Gives away the acquiring sockets, and with them the duty to close them.
    pub fn into_sockets(self) -> Vec<OwnedSocket> {
        iter::once(self.first)
            .chain(self.others)
            .map(|block| block.socket)
            .collect()
    }

    /// Ends the reservation now.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::UnknownToken`] if it has ended. The acquiring sockets are closed in any case.
    #[doc(alias = "SIO_RELEASE_PORT_RESERVATION")]
    pub fn release(self) -> Result<(), Error> {
        // All are released before the first error is told.
        self.blocks()
            .map(|block| sockopt::release(&block.socket, block.token))
            .fold(Ok(()), Result::and)
    }
}
