use std::ops::RangeInclusive;
use std::os::fd::{AsFd, OwnedFd};

use crate::backend::Backend;
use crate::conflict::ConflictKind;
use crate::consumers::Consumers;
use crate::error::{Error, ErrorKind};
use crate::held;
use crate::kernel::{Block, Blocks};
use crate::netns;
use crate::protocol::Protocol;
use crate::reservation::{Ports as Acquired, Reservation};
use crate::sockopt;
use crate::sys;

/// A request for ports, made by [`Reservation::builder`].
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

    /// Who may bind there besides associated sockets.
    pub fn consumers(mut self, consumers: Consumers) -> Acquire {
        self.consumers = consumers;
        self
    }

    /// What is to keep the ports.
    pub fn backend(mut self, backend: Backend) -> Acquire {
        self.backend = backend;
        self
    }

    /// Reserves the ports in the calling thread's network namespace.
    ///
    /// While a wildcard of several protocols is searched for, ports that only one of them has free
    /// are reserved for moments, and count for the user's quota.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Reserved`] and [`ErrorKind::InUse`] name the first port in the way;
    /// [`ErrorKind::NoFreeBlock`], [`ErrorKind::NotPermitted`], [`ErrorKind::InvalidInput`],
    /// [`ErrorKind::Io`]; of the kernel part [`ErrorKind::AutomaticRange`], [`ErrorKind::Quota`],
    /// [`ErrorKind::TablesFull`], and [`ErrorKind::NotEnabled`] if there is to be no other; where
    /// sockets hold the ports [`ErrorKind::DescriptorLimit`], and
    /// [`ErrorKind::NotSupportedHeld`] with consumers.
    #[doc(alias = "SIO_ACQUIRE_PORT_RESERVATION")]
    pub fn acquire(&self) -> Result<Reservation, Error> {
        self.check()?;
        if self.backend == Backend::Held {
            return self.hold();
        }
        match self.acquire_from_kernel() {
            Err(error)
                if error.kind() == ErrorKind::NotEnabled && self.backend == Backend::Auto =>
            {
                self.hold()
            }
            acquired => acquired,
        }
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

    fn hold(&self) -> Result<Reservation, Error> {
        if self.consumers != Consumers::ASSOCIATED {
            return Err(Error::not_supported_held(
                "let sockets in that it does not bind itself",
            ));
        }
        let (start, count) = match &self.ports {
            Ports::Any { count } => (0, *count),
            Ports::These(ports) => (*ports.start(), ports.end() - ports.start() + 1),
        };
        let block = held::acquire(held::Request {
            protocols: self.protocols(),
            start,
            count,
            align: self.align,
        })?;
        Ok(Reservation::new(Acquired::Held(block)))
    }

    fn acquire_from_kernel(&self) -> Result<Reservation, Error> {
        let (first, others) = self
            .protocols()
            .split_first()
            .unwrap_or((&Protocol::Tcp, Default::default()));
        let blocks = match &self.ports {
            Ports::Any { count } => self.search(*first, others, *count),
            Ports::These(ports) => self.exactly(*first, others, *ports.start(), *ports.end()),
        };
        match blocks {
            Ok((first, others)) => Ok(Reservation::new(Acquired::Kernel(Blocks::new(
                first, others,
            )))),
            Err(error) => Err(error.name_owner(netns::netns_cookie)),
        }
    }

    fn exactly(
        &self,
        first: Protocol,
        others: &[Protocol],
        start: u16,
        end: u16,
    ) -> Result<(Block, Vec<Block>), Error> {
        let count = end - start + 1;
        Ok((
            self.block(first, start, count)?,
            self.blocks(others, start, count)?,
        ))
    }

    /// Searches a block that is free in all protocols: one that is free in the first, and then the
    /// same ports of the others.
    ///
    /// A port that another protocol refuses can be in no block that would do. Until the search ends
    /// it is kept reserved in the first protocol, so that the next wildcard does not contain it,
    /// whatever the order in which the kernel part searches. So each round takes at least one port
    /// out of the pool, and there are no more than 65535.
    fn search(
        &self,
        first: Protocol,
        others: &[Protocol],
        count: u16,
    ) -> Result<(Block, Vec<Block>), Error> {
        let mut blockers = None;
        for _ in 0..u16::MAX {
            let block = self.block(first, 0, count)?;
            let refusal = match self.blocks(others, block.range.start(), count) {
                Ok(blocks) => return Ok((block, blocks)),
                Err(refusal) => refusal,
            };
            let Some(port) = port_taken(&refusal).filter(|&port| block.range.contains(port)) else {
                return Err(refusal);
            };
            drop(block);
            let blockers = match &blockers {
                Some(socket) => socket,
                None => blockers.insert(acquiring_socket(first)?),
            };
            keep_out(blockers, first, port)?;
        }
        Err(Error::no_free_block(count))
    }

    fn blocks(&self, protocols: &[Protocol], start: u16, count: u16) -> Result<Vec<Block>, Error> {
        protocols
            .iter()
            .map(|&protocol| self.block(protocol, start, count))
            .collect()
    }

    fn block(&self, protocol: Protocol, start: u16, count: u16) -> Result<Block, Error> {
        let socket = acquiring_socket(protocol)?;
        let (range, token) = sockopt::try_acquire(
            socket.as_fd(),
            protocol,
            start,
            count,
            self.consumers,
            self.align,
        )?;
        Ok(Block {
            socket,
            range,
            token,
        })
    }
}

fn port_taken(refusal: &Error) -> Option<u16> {
    refusal
        .conflict()
        .filter(|conflict| matches!(conflict.kind, ConflictKind::Reserved | ConflictKind::InUse))
        .and_then(|conflict| conflict.port)
}

/// Reserves a port until `blockers` is closed. If somebody else has just taken it, that does too.
fn keep_out(blockers: &OwnedFd, protocol: Protocol, port: u16) -> Result<(), Error> {
    match sockopt::try_acquire(
        blockers.as_fd(),
        protocol,
        port,
        1,
        Consumers::ASSOCIATED,
        1,
    ) {
        Err(error) if !matches!(error.kind(), ErrorKind::Reserved | ErrorKind::InUse) => Err(error),
        _ => Ok(()),
    }
}

/// A socket to acquire with. One record covers both families; IPv6 is for hosts without IPv4.
pub(crate) fn acquiring_socket(protocol: Protocol) -> Result<OwnedFd, Error> {
    let open = |family| sys::socket(family, protocol.socket_type(), protocol.number());
    open(libc::AF_INET)
        .or_else(|error| match error.raw_os_error() {
            Some(libc::EAFNOSUPPORT) => open(libc::AF_INET6),
            _ => Err(error),
        })
        .map_err(|error| Error::from_call("making a socket", error))
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
