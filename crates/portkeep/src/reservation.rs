use std::iter;
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::acquire::Acquire;
use crate::error::{Error, ErrorKind};
use crate::netns;
use crate::port_range::PortRange;
use crate::protocol::Protocol;
use crate::sockopt;
use crate::sys;
use crate::token::Token;

/// Reserved ports: the same numbers of one protocol or of several.
///
/// The reservation lives while a copy of its acquiring sockets is open, of which there is one for
/// each protocol; dropping it closes this process's copies. Sockets that are bound to its ports
/// outlive it.
///
/// ```no_run
/// use std::net::Ipv6Addr;
/// use portkeep::Reservation;
///
/// let reservation = Reservation::builder().tcp().range(61000..=61003).acquire()?;
/// let first = reservation.tcp_listener(Ipv6Addr::UNSPECIFIED, Some(61000))?;
/// let another = reservation.tcp_listener(Ipv6Addr::UNSPECIFIED, None)?;
/// # Ok::<(), portkeep::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "dropping a reservation releases its ports"]
pub struct Reservation {
    first: Block,
    /// Of the other protocols, with the same numbers.
    others: Vec<Block>,
}

/// The ports of one protocol.
#[derive(Debug)]
pub(crate) struct Block {
    pub(crate) socket: OwnedFd,
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

    /// Lets an unbound TCP or UDP socket bind to the reserved ports, and to no other.
    ///
    /// It is for sockets that need options before they are bound. A bind to port 0 then takes a
    /// free port of the reservation.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::AlreadyBound`], [`ErrorKind::WrongProtocol`], [`ErrorKind::NotSupportedSocket`],
    /// [`ErrorKind::NotASocket`]; [`ErrorKind::NotOwner`] in a process that has not acquired or
    /// claimed the reservation; [`ErrorKind::UnknownToken`] if the socket is of another network
    /// namespace.
    pub fn associate(&self, socket: &(impl AsFd + ?Sized)) -> Result<(), Error> {
        let protocol = Protocol::of(socket.as_fd())?;
        sockopt::associate(socket, self.block_of(protocol)?.token)
    }

    fn block_of(&self, protocol: Protocol) -> Result<&Block, Error> {
        self.block(protocol).ok_or_else(|| {
            Error::new(
                ErrorKind::WrongProtocol,
                libc::EINVAL,
                format!("the reservation has no {protocol} ports"),
            )
        })
    }

    /// A listening TCP socket at a reserved port; `None` takes a free one.
    ///
    /// As from [`TcpListener::bind`], `SO_REUSEADDR` is set and the socket is closed on exec.
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
        sys::listen(socket.as_fd()).map_err(|error| Error::from_call("listening", error))?;
        Ok(socket.into())
    }

    /// A UDP socket at a reserved port; `None` takes a free one.
    ///
    /// As from [`UdpSocket::bind`], the socket is closed on exec.
    ///
    /// # Errors
    ///
    /// As those of [`tcp_listener`](Reservation::tcp_listener).
    pub fn udp_socket(
        &self,
        address: impl Into<IpAddr>,
        port: Option<u16>,
    ) -> Result<UdpSocket, Error> {
        Ok(self
            .bound_socket(Protocol::Udp, address.into(), port)?
            .into())
    }

    fn bound_socket(
        &self,
        protocol: Protocol,
        address: IpAddr,
        port: Option<u16>,
    ) -> Result<OwnedFd, Error> {
        let block = self.block_of(protocol)?;
        if let Some(port) = port
            && !block.range.contains(port)
        {
            return Err(Error::new(
                ErrorKind::OutsideBlock,
                libc::EADDRNOTAVAIL,
                format!(
                    "port {port}/{protocol} is not in the reserved {}",
                    block.range
                ),
            ));
        }
        let family = if address.is_ipv4() {
            libc::AF_INET
        } else {
            libc::AF_INET6
        };
        let socket = sys::socket(family, protocol.socket_type(), protocol.number())
            .map_err(|error| Error::from_call("making a socket", error))?;
        sockopt::associate(&socket, block.token)?;
        // On UDP the option would let sockets share the port.
        if protocol == Protocol::Tcp {
            sys::set_option(socket.as_fd(), libc::SOL_SOCKET, libc::SO_REUSEADDR, &1)
                .map_err(|error| Error::from_call("setting SO_REUSEADDR", error))?;
        }
        sys::bind(socket.as_fd(), SocketAddr::new(address, port.unwrap_or(0))).map_err(
            |error| {
                let conflict = sockopt::recorded_conflict(socket.as_fd());
                Error::from_bind(error, block.range, port, conflict)
                    .name_owner(|| netns::cookie_of(socket.as_fd()))
            },
        )?;
        Ok(socket)
    }

    /// The acquiring sockets, to hand copies of them to another process, which may then
    /// [`claim`](Reservation::claim) the reservation.
    ///
    /// They are not to be bound.
    pub fn sockets(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.blocks().map(|block| block.socket.as_fd())
    }

    /// Gives away the acquiring sockets, and with them the duty to close them.
    pub fn into_sockets(self) -> Vec<OwnedFd> {
        iter::once(self.first)
            .chain(self.others)
            .map(|block| block.socket)
            .collect()
    }

    /// Ends the reservation now, even if another process has copies of the acquiring sockets.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotOwner`] if another process has claimed it, [`ErrorKind::UnknownToken`] if it
    /// has ended. This process's copies of the acquiring sockets are closed in any case.
    pub fn release(self) -> Result<(), Error> {
        // All are released before the first error is told.
        self.blocks()
            .map(|block| sockopt::release(&block.socket, block.token))
            .fold(Ok(()), Result::and)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crosses_threads() {
        fn check<T: Send + Sync + 'static>() {}
        check::<Reservation>();
        check::<Acquire>();
    }
}
