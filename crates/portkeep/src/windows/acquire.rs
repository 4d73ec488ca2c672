use std::ops::RangeInclusive;
use std::os::windows::io::OwnedSocket;

use crate::consumers::Consumers;
use crate::error::{Error, ErrorKind};
use crate::port_range::PortRange;
use crate::protocol::Protocol;
use crate::windows::code;
use crate::windows::reservation::{Block, Reservation};
use crate::windows::sockopt;
use crate::windows::winsock;

/// How often a wildcard is asked for whose numbers another protocol refuses, or that is not
/// aligned. What was refused is kept reserved meanwhile, so that each attempt gets other ports.
const ATTEMPTS: usize = 1024;

/// A request for ports, made by [`Reservation::builder`].
///
/// Without more it asks for one TCP port of the system's choice.
#[derive(Clone, Debug)]
#[must_use = "nothing is reserved until `acquire` is called"]
pub struct Acquire {
    protocols: Vec<Protocol>,
    ports: Ports,
    align: u16,
    consumers: Consumers,
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

    /// Any free block of so many consecutive dynamic ports.
    pub fn count(mut self, count: u16) -> Acquire {
        self.ports = Ports::Any { count };
        self
    }

    /// Exactly these ports.
    pub fn range(mut self, ports: RangeInclusive<u16>) -> Acquire {
        self.ports = Ports::These(ports);
        self
    }

    /// Exactly this port.
    pub fn port(self, port: u16) -> Acquire {
        self.range(port..=port)
    }

    /// A first port that is a multiple of `align`, a power of two.
    pub fn align(mut self, align: u16) -> Acquire {
        self.align = align;
        self
    }

    /// Who may bind there besides associated sockets: on Windows nobody.
    pub fn consumers(mut self, consumers: Consumers) -> Acquire {
        self.consumers = consumers;
        self
    }

    /// Reserves the ports.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InUse`], [`ErrorKind::NoFreeBlock`], [`ErrorKind::NotPermitted`],
    /// [`ErrorKind::InvalidInput`], [`ErrorKind::TablesFull`], [`ErrorKind::Io`].
    #[doc(alias = "SIO_ACQUIRE_PORT_RESERVATION")]
    pub fn acquire(&self) -> Result<Reservation, Error> {
        if !self.align.is_power_of_two() {
            return Err(Error::invalid_input("the alignment must be a power of two"));
        }
        let (&first, others) = self
            .protocols
            .split_first()
            .unwrap_or((&Protocol::Tcp, Default::default()));
        match &self.ports {
            Ports::Any { count } => self.search(first, others, *count),
            Ports::These(ports) => {
                let range = PortRange::new(first, *ports.start(), *ports.end())?;
                if !range.start().is_multiple_of(self.align) {
                    let message =
                        format!("port {} is not a multiple of {}", range.start(), self.align);
                    return Err(Error::invalid_input(message));
                }
                let first = self.block(first, range.start(), range.count())?;
                let others = self.blocks(others, range.start(), range.count())?;
                Ok(Reservation::new(first, others))
            }
        }
    }

    fn search(
        &self,
        first: Protocol,
        others: &[Protocol],
        count: u16,
    ) -> Result<Reservation, Error> {
        let mut refused = Vec::new();
        for _ in 0..ATTEMPTS {
            let block = self.block(first, 0, count)?;
            if !block.range.start().is_multiple_of(self.align) {
                refused.push(block);
                continue;
            }
            match self.blocks(others, block.range.start(), count) {
                Ok(others) => return Ok(Reservation::new(block, others)),
                Err(error) if error.kind() == ErrorKind::InUse => refused.push(block),
                Err(error) => return Err(error),
            }
        }
        Err(code::of_acquire(code::WSAEADDRINUSE, None, count))
    }

    fn blocks(&self, protocols: &[Protocol], start: u16, count: u16) -> Result<Vec<Block>, Error> {
        protocols
            .iter()
            .map(|&protocol| self.block(protocol, start, count))
            .collect()
    }

    fn block(&self, protocol: Protocol, start: u16, count: u16) -> Result<Block, Error> {
        let socket = acquiring_socket(protocol)?;
        let (range, token) = sockopt::acquire(&socket, start, count, self.consumers, 1)?;
        Ok(Block {
            socket,
            range,
            token,
        })
    }
}

/// A socket to acquire with. One reservation covers both families; IPv6 is for hosts without IPv4.
fn acquiring_socket(protocol: Protocol) -> Result<OwnedSocket, Error> {
    winsock::socket(protocol, false)
        .or_else(|_| winsock::socket(protocol, true))
        .map_err(|error| code::of_call("making a socket", error))
}
