//! Acquiring from Windows.

use std::os::windows::io::OwnedSocket;

use super::{Acquire, Ports};
use crate::error::{Error, ErrorKind};
use crate::protocol::Protocol;
use crate::windows::code;
use crate::windows::reservation::{Block, Reservation};
use crate::windows::sockopt;
use crate::windows::winsock;

/// How often a wildcard is asked for whose numbers another protocol refuses, or that is not
/// aligned. What was refused is kept reserved meanwhile, so that each attempt gets other ports.
const ATTEMPTS: usize = 1024;

impl Acquire {
    /// Reserves the ports.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InUse`], [`ErrorKind::NoFreeBlock`], [`ErrorKind::NotPermitted`],
    /// [`ErrorKind::InvalidInput`], [`ErrorKind::TablesFull`], [`ErrorKind::Io`].
    #[doc(alias = "SIO_ACQUIRE_PORT_RESERVATION")]
    pub fn acquire(&self) -> Result<Reservation, Error> {
        self.check()?;
        let (&first, others) = self
            .protocols()
            .split_first()
            .unwrap_or((&Protocol::Tcp, Default::default()));
        match &self.ports {
            Ports::Any { count } => self.search(first, others, *count),
            Ports::These(ports) => {
                let (start, count) = (*ports.start(), ports.end() - ports.start() + 1);
                let first = self.block(first, start, count)?;
                let others = self.blocks(others, start, count)?;
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
