//! Acquiring from the kernel part, or by held sockets.

use std::os::fd::{AsFd, OwnedFd};

use super::{Acquire, Ports};
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

impl Acquire {
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
