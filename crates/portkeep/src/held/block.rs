use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU16, Ordering};

use crate::held::holder::{self, Holder};
use crate::held::owner;
use crate::held::record::Record;
use crate::sys;
use crate::types::{Error, ErrorKind, PortRange, Protocol};

/// The same ports of each protocol, with a holder for each.
#[derive(Debug)]
pub(crate) struct Block {
    start: u16,
    end: u16,
    holders: Vec<(Protocol, Vec<Holder>)>,
    /// Where the search for a free port goes on.
    next: AtomicU16,
    _record: Option<Record>,
}

impl Block {
    pub(super) fn new(start: u16, end: u16, holders: Vec<(Protocol, Vec<Holder>)>) -> Block {
        let mut block = Block {
            start,
            end,
            holders,
            next: AtomicU16::new(start),
            _record: None,
        };
        // It serves others' eyes only, so to be without one is no failure.
        block._record = Record::write(&block.ranges().collect::<Vec<_>>()).ok();
        block
    }

    pub(crate) fn start(&self) -> u16 {
        self.start
    }

    pub(crate) fn end(&self) -> u16 {
        self.end
    }

    pub(crate) fn range(&self, protocol: Protocol) -> Option<PortRange> {
        self.ranges().find(|range| range.protocol() == protocol)
    }

    pub(crate) fn ranges(&self) -> impl Iterator<Item = PortRange> {
        self.holders
            .iter()
            .filter_map(|(protocol, _)| PortRange::new(*protocol, self.start, self.end).ok())
    }

    pub(crate) fn sockets(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.holders
            .iter()
            .flat_map(|(_, holders)| holders.iter().map(AsFd::as_fd))
    }

    pub(crate) fn into_sockets(self) -> Vec<OwnedFd> {
        self.holders
            .into_iter()
            .flat_map(|(_, holders)| holders)
            .map(Holder::into_socket)
            .collect()
    }

    /// The holder of a port, `None` if the port is not in the block.
    fn holder(&self, protocol: Protocol, port: u16) -> Option<&Holder> {
        let index = port.checked_sub(self.start)?;
        let (_, holders) = self.holders.iter().find(|(held, _)| *held == protocol)?;
        holders.get(usize::from(index))
    }

    /// The protocol of a socket, if the block has ports of it.
    fn protocol_of(&self, socket: BorrowedFd<'_>) -> Result<Protocol, Error> {
        let protocol = owner::protocol(socket)
            .map_err(|error| Error::from_call("asking the socket for its protocol", error))?
            .ok_or_else(|| {
                Error::new(
                    ErrorKind::NotSupportedSocket,
                    libc::EOPNOTSUPP,
                    "not a TCP or UDP socket",
                )
            })?;
        // As where a run is within another: what holds its ports is no socket of the outer one's command.
        if holder::is_marked(socket)
            .map_err(|error| Error::from_call("asking the socket for its mark", error))?
        {
            return Err(Error::new(
                ErrorKind::NotSupportedSocket,
                libc::EOPNOTSUPP,
                "the socket holds a port for another reservation",
            ));
        }
        match self.range(protocol) {
            Some(_) => Ok(protocol),
            None => Err(Error::wrong_protocol(protocol)),
        }
    }

    /// Binds a socket of the owner to a port of the block; port 0 takes a free one.
    pub(crate) fn bind(
        &self,
        socket: BorrowedFd<'_>,
        mut address: SocketAddr,
    ) -> Result<(), Error> {
        let protocol = self.protocol_of(socket)?;
        let bound = sys::bound_port(socket)
            .map_err(|error| Error::from_call("asking the socket for its port", error))?;
        if let Some(port) = bound {
            return Err(Error::already_bound("binding", port));
        }
        let range = PortRange::new(protocol, self.start, self.end)?;
        let wanted = Some(address.port()).filter(|&port| port != 0);
        if let Some(port) = wanted.filter(|&port| !range.contains(port)) {
            return Err(Error::outside_block(port, range));
        }
        // On from the last choice: a port that is bound but not listened on looks free.
        let (first, count) = match wanted {
            Some(port) => (port, 1),
            None => (self.next.load(Ordering::Relaxed), range.count()),
        };
        let candidates = range
            .ports()
            .cycle()
            .skip(usize::from(first - self.start))
            .take(count.into());
        let mut refusal = io::Error::from_raw_os_error(libc::EADDRINUSE);
        for port in candidates {
            let Some(holder) = self.holder(protocol, port) else {
                continue;
            };
            address.set_port(port);
            match owner::bind(protocol, holder, socket, address) {
                Ok(()) if wanted.is_some() => return Ok(()),
                Ok(()) => {
                    let next = if port == self.end {
                        self.start
                    } else {
                        port + 1
                    };
                    self.next.store(next, Ordering::Relaxed);
                    return Ok(());
                }
                Err(error) if error.raw_os_error() == Some(libc::EADDRINUSE) => refusal = error,
                Err(error) => return Err(Error::from_bind(error, range, wanted, None)),
            }
        }
        Err(Error::from_bind(refusal, range, wanted, None))
    }

    /// Listens on a TCP socket that is bound to a port of the block, or elsewhere.
    pub(crate) fn listen(&self, socket: BorrowedFd<'_>, backlog: i32) -> io::Result<()> {
        let holder = match (owner::protocol(socket)?, sys::bound_port(socket)?) {
            (Some(Protocol::Tcp), Some(port)) => self.holder(Protocol::Tcp, port),
            _ => None,
        };
        match holder {
            Some(holder) => owner::listen(holder, socket, backlog),
            None => sys::listen(socket, backlog),
        }
    }

    /// Takes back a UDP port that was opened for sockets of the owner that are closed by now. Gives
    /// whether it is still open.
    pub(crate) fn take_back(&self, port: u16) -> io::Result<bool> {
        match self.holder(Protocol::Udp, port) {
            Some(holder) => owner::take_back(holder, port),
            None => Ok(false),
        }
    }
}
