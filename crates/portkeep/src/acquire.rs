use std::ops::RangeInclusive;

use crate::reservation::Reservation;
use crate::system::Reserved;
#[cfg(any(test, doc))]
use crate::types::ErrorKind;
use crate::types::{Backend, Consumers, Error, Ports, Protocol, Request};

/// A request for ports, made by [`Reservation::builder`](crate::Reservation::builder).
///
/// Without more it asks for one TCP port of Portkeep's choice.
///
/// ```no_run
/// use portkeep::{Consumers, Reservation};
///
/// // The same eight ports of TCP and UDP, for this process and those it starts.
/// let reservation =
///     Reservation::builder().tcp().udp().count(8).consumers(Consumers::TREE).acquire()?;
/// # Ok::<(), portkeep::Error>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "nothing is reserved until `acquire` is called"]
pub struct Acquire(Request);

impl Reservation {
    /// Asks for ports.
    pub fn builder() -> Acquire {
        Acquire(Request::new())
    }
}

impl Acquire {
    /// TCP ports, besides those of other protocols that are asked for.
    pub fn tcp(self) -> Acquire {
        self.protocol(Protocol::Tcp)
    }

    /// UDP ports, besides those of other protocols that are asked for.
    pub fn udp(self) -> Acquire {
        self.protocol(Protocol::Udp)
    }

    /// Ports of this protocol, besides those of other protocols that are asked for. Of several
    /// protocols the ports with the same numbers are reserved, all or none.
    pub fn protocol(mut self, protocol: Protocol) -> Acquire {
        self.0.add(protocol);
        self
    }

    /// Any free block of so many consecutive ports from the pool. It takes the place of an earlier
    /// [`range`](Acquire::range) or [`port`](Acquire::port).
    pub fn count(mut self, count: u16) -> Acquire {
        self.0.ports = Ports::Any { count };
        self
    }

    /// Exactly these ports. They take the place of an earlier [`count`](Acquire::count).
    pub fn range(mut self, ports: RangeInclusive<u16>) -> Acquire {
        self.0.ports = Ports::These(ports);
        self
    }

    /// Exactly this port. It takes the place of an earlier [`count`](Acquire::count).
    pub fn port(self, port: u16) -> Acquire {
        self.range(port..=port)
    }

    /// A first port that is a multiple of `align`, a power of two. RTP wants an even one, 2
    /// ([RFC 3550, section 11](https://www.rfc-editor.org/rfc/rfc3550#section-11)).
    pub fn align(mut self, align: u16) -> Acquire {
        self.0.align = align;
        self
    }

    /// Who may bind there besides associated sockets. On Windows nobody may.
    pub fn consumers(mut self, consumers: Consumers) -> Acquire {
        self.0.consumers = consumers;
        self
    }

    /// What is to keep the ports. One that the system does not have is refused with
    /// [`ErrorKind::NotSupported`].
    pub fn backend(mut self, backend: Backend) -> Acquire {
        self.0.backend = backend;
        self
    }

    /// Reserves the ports, on Linux in the calling thread's network namespace.
    ///
    /// While a wildcard of several protocols is searched for, ports that only one of them has free
    /// are reserved for moments, and count for the user's quota.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Reserved`] and [`ErrorKind::InUse`] name the first port in the way;
    /// [`ErrorKind::NoFreeBlock`], [`ErrorKind::NotPermitted`], [`ErrorKind::InvalidInput`],
    /// [`ErrorKind::Io`]; of the kernel part [`ErrorKind::AutomaticRange`] unless sockets can hold the ports
    /// instead ([`Backend::Auto`] without consumers), [`ErrorKind::Quota`],
    /// [`ErrorKind::TablesFull`], and [`ErrorKind::NotEnabled`] if there is to be no other; where
    /// sockets hold the ports [`ErrorKind::DescriptorLimit`], and [`ErrorKind::NotSupportedHeld`]
    /// with consumers. Windows does not tell reservations from sockets, and refuses consumers with
    /// [`ErrorKind::InvalidInput`]. Other systems refuse everything with
    /// [`ErrorKind::NotSupported`].
    #[doc(alias = "SIO_ACQUIRE_PORT_RESERVATION")]
    pub fn acquire(&self) -> Result<Reservation, Error> {
        self.0.check()?;
        Reserved::acquire(&self.0).map(Reservation::new)
    }
}

impl Backend {
    /// What [`Auto`](Backend::Auto) comes to in this process; the others are themselves.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Io`] if no socket can be made to ask the kernel part with;
    /// [`ErrorKind::NotSupported`] where the system has none.
    pub fn resolve(self) -> Result<Backend, Error> {
        match self {
            Backend::Auto => Reserved::default_backend(),
            other => Ok(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_that_make_no_sense() {
        #[allow(clippy::reversed_empty_ranges)]
        for request in [
            Reservation::builder().count(0),
            Reservation::builder().tcp().udp().count(0),
            Reservation::builder().port(0),
            Reservation::builder().range(0..=5),
            Reservation::builder().range(6..=5),
            Reservation::builder().align(0),
            Reservation::builder().align(3),
            Reservation::builder().port(61001).align(2),
        ] {
            let error = request.acquire().expect_err("a senseless request");
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{request:?}");
            #[cfg(target_os = "linux")]
            assert_eq!(error.errno(), Some(libc::EINVAL));
        }
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn the_last_choice_of_ports_holds() {
        let Acquire(request) = Reservation::builder().tcp().tcp().count(4).port(61000);
        assert_eq!(request.protocols(), (Protocol::Tcp, &[][..]));
        assert!(matches!(request.ports, Ports::These(ports) if ports == (61000..=61000)));
        let Acquire(request) = Reservation::builder().port(61000).count(4);
        assert!(matches!(request.ports, Ports::Any { count: 4 }));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_backend_that_is_asked_for_stays() -> Result<(), Error> {
        assert_eq!(Backend::Held.resolve()?, Backend::Held);
        assert_eq!(Backend::Kernel.resolve()?, Backend::Kernel);
        assert_ne!(Backend::Auto.resolve()?, Backend::Auto);
        Ok(())
    }
}
