use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};

use crate::socket::{self, AsSocket, BorrowedSocket, OwnedSocket};
use crate::system::{self, Reserved};
#[cfg(doc)]
use crate::types::ErrorKind;
use crate::types::{Backend, Error, PortRange, Protocol, Token};

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
#[doc(alias = "INET_PORT_RESERVATION_INSTANCE")]
#[derive(Debug)]
#[must_use = "dropping a reservation releases its ports"]
pub struct Reservation(Reserved);

impl Reservation {
    pub(crate) fn new(reserved: Reserved) -> Reservation {
        Reservation(reserved)
    }

    /// What keeps the ports: [`Backend::Kernel`] or [`Backend::Held`], on Windows
    /// [`Backend::System`].
    pub fn backend(&self) -> Backend {
        self.0.backend()
    }

    /// The ports of a protocol; `None` if none of it are reserved.
    pub fn range(&self, protocol: Protocol) -> Option<PortRange> {
        self.ranges().find(|range| range.protocol() == protocol)
    }

    /// The ports of each protocol.
    pub fn ranges(&self) -> impl Iterator<Item = PortRange> {
        self.0.ranges()
    }

    /// The first port.
    pub fn start(&self) -> u16 {
        self.0.numbers().0
    }

    /// The last port.
    pub fn end(&self) -> u16 {
        self.0.numbers().1
    }

    /// The number of ports of each protocol.
    pub fn count(&self) -> u16 {
        self.end() - self.start() + 1
    }

    /// The ports in ascending order.
    pub fn ports(
        &self,
    ) -> impl DoubleEndedIterator<Item = u16> + ExactSizeIterator + Clone + use<> {
        self.start()..=self.end()
    }

    /// The token of a protocol's ports; `None` if none of it are reserved, and for held ports.
    pub fn token(&self, protocol: Protocol) -> Option<Token> {
        self.0.token(protocol)
    }

    /// Lets an unbound TCP or UDP socket bind to the reserved ports, and to no other.
    ///
    /// It is for sockets that need options before they are bound. A bind to port 0 then takes a
    /// free port of the reservation.
    ///
    /// The kernel part knows the socket then, and bind(2) will do; so will connect(2), which gives
    /// an unbound socket a free port of the reservation. Not so sendto(2) and listen(2): of them the
    /// kernel part hears when Linux has given the socket any free port. Bind first, or
    /// [`listen`](Reservation::listen) by the reservation.
    ///
    /// Where ports are held by sockets nothing would tell a later bind(2) from a stranger's: there,
    /// and where the backend does not matter, use [`bind`](Reservation::bind).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::AlreadyBound`], [`ErrorKind::WrongProtocol`], [`ErrorKind::NotSupportedSocket`],
    /// [`ErrorKind::NotASocket`]; [`ErrorKind::NotOwner`] in a process that has not acquired or
    /// claimed the reservation; [`ErrorKind::UnknownToken`] if the socket is of another network
    /// namespace; [`ErrorKind::NotSupportedHeld`].
    #[doc(alias = "SIO_ASSOCIATE_PORT_RESERVATION")]
    pub fn associate(&self, socket: impl AsSocket) -> Result<(), Error> {
        self.0.associate(socket::borrow(&socket))
    }

    /// Binds a socket to a reserved port; port 0 takes a free one.
    ///
    /// It is for sockets that need options before they are bound. What is set stays as it is.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::OutsideBlock`], [`ErrorKind::InUse`], [`ErrorKind::NoFreePort`],
    /// [`ErrorKind::AlreadyBound`], [`ErrorKind::WrongProtocol`],
    /// [`ErrorKind::NotSupportedSocket`], [`ErrorKind::NotASocket`], [`ErrorKind::NotOwner`],
    /// [`ErrorKind::UnknownToken`]; [`ErrorKind::Io`] with the errno of bind(2).
    pub fn bind(&self, socket: impl AsSocket, address: impl Into<SocketAddr>) -> Result<(), Error> {
        self.0.bind(socket::borrow(&socket), address.into())
    }

    /// Listens on a TCP socket that [`bind`](Reservation::bind) has bound, as listen(2) does. One
    /// that is not bound is bound first, to a free port of the reservation at all addresses of its
    /// family.
    ///
    /// The kernel checks for conflicts once more then, which only this call passes if the ports are
    /// held by sockets.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Io`] with the errno of listen(2), such as `EADDRINUSE` if another socket listens
    /// there. For a socket that is not bound those of [`bind`](Reservation::bind), too.
    pub fn listen(&self, socket: impl AsSocket, backlog: i32) -> Result<(), Error> {
        self.0.listen(socket::borrow(&socket), backlog)
    }

    /// Makes another process the owner, as if it had claimed the reservation: what the
    /// [consumers](crate::Acquire::consumers) of the reservation allow to this process and its descendants,
    /// they allow to that one and its descendants then, and to this one no longer.
    ///
    /// The reservation still lives as long as the acquiring sockets, here; it does not end with that process.
    /// Its ports stay charged to the same user. `pidfd` is a descriptor of the process
    /// ([`pidfd_open(2)`](https://man7.org/linux/man-pages/man2/pidfd_open.2.html)); one of a thread means the
    /// thread's process. A [`claim`](Reservation::claim) of the
    /// acquiring sockets takes the reservation back.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::ForeignProcess`] if the real user of the process is not the effective user of this one,
    /// which lacks `CAP_NET_ADMIN` over the network namespace, too; [`ErrorKind::ProcessEnded`];
    /// [`ErrorKind::NotAPidfd`]; [`ErrorKind::UnknownToken`] if the reservation has ended;
    /// [`ErrorKind::Outdated`]; [`ErrorKind::NotSupportedHeld`]. The owner is the one from before then.
    #[cfg(target_os = "linux")]
    pub fn hand_over(&self, pidfd: std::os::fd::BorrowedFd<'_>) -> Result<(), Error> {
        self.0.hand_over(pidfd)
    }

    /// Closes what had to be opened for UDP sockets with `SO_REUSEPORT` at all IPv6 addresses of a held
    /// port, once they are closed; gives whether it is still open. The next [`bind`](Reservation::bind) to
    /// the port does so, too.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Io`] with the errno of socket(2) or bind(2).
    #[cfg(target_os = "linux")]
    #[doc(hidden)]
    pub fn take_back(&self, port: u16) -> Result<bool, Error> {
        self.0.take_back(port)
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
        self.0.listen(socket::borrow(&socket), system::BACKLOG)?;
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
    ) -> Result<OwnedSocket, Error> {
        let range = self
            .range(protocol)
            .ok_or_else(|| Error::wrong_protocol(protocol))?;
        if let Some(port) = port.filter(|&port| !range.contains(port)) {
            return Err(Error::outside_block(port, range));
        }
        let socket = system::open(protocol, address.is_ipv6())?;
        self.bind(&socket, (address, port.unwrap_or(0)))?;
        Ok(socket)
    }

    /// The acquiring sockets, to hand copies of them to another process, which may then
    /// [`claim`](Reservation::claim) the reservation.
    ///
    /// They are not to be bound. Of held ports they are the sockets that hold them, which cannot be
    /// claimed but keep strangers out as long as a copy is open.
    pub fn sockets(&self) -> impl Iterator<Item = BorrowedSocket<'_>> {
        self.0.sockets()
    }

    /// Gives away the acquiring sockets, and with them the duty to close them.
    pub fn into_sockets(self) -> Vec<OwnedSocket> {
        self.0.into_sockets()
    }

    /// Ends the reservation now, even if another process has copies of the acquiring sockets. Held
    /// ports are held by each copy: of those this closes this process's.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotOwner`] if another process has claimed it, [`ErrorKind::UnknownToken`] if it
    /// has ended. This process's copies of the acquiring sockets are closed in any case.
    #[doc(alias = "SIO_RELEASE_PORT_RESERVATION")]
    pub fn release(self) -> Result<(), Error> {
        self.0.release()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crosses_threads() {
        fn check<T: Send + Sync + 'static>() {}
        check::<Reservation>();
        check::<crate::Acquire>();
    }
}
