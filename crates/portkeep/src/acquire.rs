#[cfg(target_os = "linux")]
mod linux;
#[cfg(windows)]
mod windows;

use std::ops::RangeInclusive;

#[cfg(target_os = "linux")]
use crate::backend::Backend;
use crate::consumers::Consumers;
use crate::error::Error;
use crate::protocol::Protocol;

#[cfg(target_os = "linux")]
pub(crate) use linux::acquiring_socket;

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
pub struct Acquire {
    protocols: Vec<Protocol>,
    ports: Ports,
    align: u16,
    consumers: Consumers,
    #[cfg(target_os = "linux")]
    backend: Backend,
}

#[derive(Clone, Debug)]
enum Ports {
    Any { count: u16 },
    These(RangeInclusive<u16>),
}

impl Acquire {
    pub(crate) fn new() -> Acquire {
        Acquire {
            protocols: Vec::new(),
            ports: Ports::Any { count: 1 },
            align: 1,
            consumers: Consumers::ASSOCIATED,
            #[cfg(target_os = "linux")]
            backend: Backend::Auto,
        }
    }

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
        if !self.protocols.contains(&protocol) {
            self.protocols.push(protocol);
        }
        self
    }

    /// Any free block of so many consecutive ports from the pool. It takes the place of an earlier
    /// [`range`](Acquire::range) or [`port`](Acquire::port).
    pub fn count(mut self, count: u16) -> Acquire {
        self.ports = Ports::Any { count };
        self
    }

    /// Exactly these ports. They take the place of an earlier [`count`](Acquire::count).
    pub fn range(mut self, ports: RangeInclusive<u16>) -> Acquire {
        self.ports = Ports::These(ports);
        self
    }

    /// Exactly this port. It takes the place of an earlier [`count`](Acquire::count).
    pub fn port(self, port: u16) -> Acquire {
        self.range(port..=port)
    }

    /// A first port that is a multiple of `align`, a power of two. RTP wants an even one, 2
    /// ([RFC 3550, section 11](https://www.rfc-editor.org/rfc/rfc3550#section-11)).
    pub fn align(mut self, align: u16) -> Acquire {
        self.align = align;
        self
    }

    /// Who may bind there besides associated sockets. On Windows nobody may.
    pub fn consumers(mut self, consumers: Consumers) -> Acquire {
        self.consumers = consumers;
        self
    }

    /// What is to keep the ports.
    #[cfg(target_os = "linux")]
    pub fn backend(mut self, backend: Backend) -> Acquire {
        self.backend = backend;
        self
    }

    /// Refuses what makes no sense.
    fn check(&self) -> Result<(), Error> {
        if !self.align.is_power_of_two() {
            return Err(Error::invalid_input("the alignment must be a power of two"));
        }
        match &self.ports {
            Ports::Any { count: 0 } => {
                Err(Error::invalid_input("the number of ports must not be 0"))
            }
            Ports::Any { .. } => Ok(()),
            Ports::These(ports) if *ports.start() == 0 => {
                Err(Error::invalid_input("port 0 cannot be reserved"))
            }
            Ports::These(ports) if ports.end() < ports.start() => {
                Err(Error::invalid_input("the port range is empty"))
            }
            Ports::These(ports) if !ports.start().is_multiple_of(self.align) => {
                let message = format!("port {} is not a multiple of {}", ports.start(), self.align);
                Err(Error::invalid_input(message))
            }
            Ports::These(_) => Ok(()),
        }
    }

    fn protocols(&self) -> &[Protocol] {
        match self.protocols.as_slice() {
            [] => &[Protocol::Tcp],
            protocols => protocols,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ErrorKind, Reservation};

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
    fn the_last_choice_of_ports_holds() {
        let request = Reservation::builder().tcp().tcp().count(4).port(61000);
        assert_eq!(request.protocols, [Protocol::Tcp]);
        assert!(matches!(request.ports, Ports::These(ports) if ports == (61000..=61000)));
        let request = Reservation::builder().port(61000).count(4);
        assert!(matches!(request.ports, Ports::Any { count: 4 }));
    }
}
