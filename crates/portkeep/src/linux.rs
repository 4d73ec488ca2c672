//! What keeps ports on Linux: the kernel part, or held sockets.

use std::net::SocketAddr;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use crate::blocks::Blocks;
use crate::sys;
use crate::types::{
    Backend, Consumers, Error, ErrorKind, PortRange, Ports, Protocol, Request, Token,
};
use crate::{held, kernel};

pub use crate::held::list as list_held;
pub use crate::kernel::{list, list_at, sockopt, version};
pub use crate::netns::netns_cookie;
pub(crate) use crate::sys::time_since_boot;

/// As long a queue as net.core.somaxconn allows.
pub(crate) const BACKLOG: i32 = libc::SOMAXCONN;

/// Ports, by what keeps them.
#[derive(Debug)]
pub(crate) enum Reserved {
    Kernel(Blocks),
    Held(held::Block),
}

impl Reserved {
    pub(crate) fn default_backend() -> Result<Backend, Error> {
        match version() {
            Ok(_) => Ok(Backend::Kernel),
            Err(error) if error.kind() == ErrorKind::NotEnabled => Ok(Backend::Held),
            Err(error) => Err(error),
        }
    }

    pub(crate) fn acquire(request: &Request) -> Result<Reserved, Error> {
        match request.backend {
            Backend::Held => hold(request),
            Backend::System => Err(Error::new(
                ErrorKind::NotSupported,
                None,
                "Linux itself reserves no ports: the kernel part or held sockets do",
            )),
            Backend::Kernel => kernel::acquire(request).map(Reserved::Kernel),
            Backend::Auto => match kernel::acquire(request) {
                Err(error) if error.kind() == ErrorKind::NotEnabled => hold(request),
                // connect() cannot take a port from a socket. What the kernel part would have let in
                // besides, a socket cannot.
                Err(error)
                    if error.kind() == ErrorKind::AutomaticRange
                        && request.consumers == Consumers::ASSOCIATED =>
                {
                    hold(request)
                }
                acquired => acquired.map(Reserved::Kernel),
            },
        }
    }

    /// A refusal gives the sockets back.
    pub(crate) fn claim(sockets: Vec<OwnedFd>) -> Result<Reserved, (Error, Vec<OwnedFd>)> {
        kernel::claim(sockets).map(Reserved::Kernel)
    }

    /// As `claim`.
    pub(crate) fn claim_token(
        socket: OwnedFd,
        range: PortRange,
        token: Token,
    ) -> Result<Reserved, (Error, Vec<OwnedFd>)> {
        kernel::claim_token(socket, range, token).map(Reserved::Kernel)
    }

    pub(crate) fn backend(&self) -> Backend {
        match self {
            Reserved::Kernel(_) => Backend::Kernel,
            Reserved::Held(_) => Backend::Held,
        }
    }

    pub(crate) fn ranges(&self) -> impl Iterator<Item = PortRange> {
        let (kernel, held) = match self {
            Reserved::Kernel(blocks) => (Some(blocks.ranges()), None),
            Reserved::Held(block) => (None, Some(block.ranges())),
        };
        kernel
            .into_iter()
            .flatten()
            .chain(held.into_iter().flatten())
    }

    /// The first and the last port.
    pub(crate) fn numbers(&self) -> (u16, u16) {
        match self {
            Reserved::Kernel(blocks) => blocks.numbers(),
            Reserved::Held(block) => (block.start(), block.end()),
        }
    }

    pub(crate) fn token(&self, protocol: Protocol) -> Option<Token> {
        match self {
            Reserved::Kernel(blocks) => blocks.token(protocol),
            Reserved::Held(_) => None,
        }
    }

    pub(crate) fn associate(&self, socket: BorrowedFd<'_>) -> Result<(), Error> {
        match self {
            Reserved::Kernel(blocks) => blocks.associate(socket),
            Reserved::Held(_) => Err(Error::not_supported_held(
                "associate a socket that is bound later",
            )),
        }
    }

    pub(crate) fn bind(&self, socket: BorrowedFd<'_>, address: SocketAddr) -> Result<(), Error> {
        match self {
            Reserved::Kernel(blocks) => blocks.bind(socket, address),
            Reserved::Held(block) => block.bind(socket, address),
        }
    }

    pub(crate) fn listen(&self, socket: BorrowedFd<'_>, backlog: i32) -> Result<(), Error> {
        let failed = |error| Error::from_call("listening", error);
        if let Some(address) = sys::unbound_stream(socket).map_err(failed)? {
            match self.bind(socket, address) {
                // Another thread was faster.
                Err(error) if error.kind() == ErrorKind::AlreadyBound => {}
                bound => bound?,
            }
        }
        match self {
            Reserved::Kernel(_) => sys::listen(socket, backlog),
            Reserved::Held(block) => block.listen(socket, backlog),
        }
        .map_err(failed)
    }

    pub(crate) fn hand_over(&self, pidfd: BorrowedFd<'_>) -> Result<(), Error> {
        match self {
            Reserved::Kernel(blocks) => blocks.hand_over(pidfd),
            Reserved::Held(_) => Err(Error::not_supported_held("be handed to another process")),
        }
    }

    pub(crate) fn take_back(&self, port: u16) -> Result<bool, Error> {
        match self {
            Reserved::Kernel(_) => Ok(false),
            Reserved::Held(block) => block
                .take_back(port)
                .map_err(|error| Error::from_call("taking a port back", error)),
        }
    }

    pub(crate) fn sockets(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let (kernel, held) = match self {
            Reserved::Kernel(blocks) => (Some(blocks.sockets()), None),
            Reserved::Held(block) => (None, Some(block.sockets())),
        };
        kernel
            .into_iter()
            .flatten()
            .chain(held.into_iter().flatten())
    }

    pub(crate) fn into_sockets(self) -> Vec<OwnedFd> {
        match self {
            Reserved::Kernel(blocks) => blocks.into_sockets(),
            Reserved::Held(block) => block.into_sockets(),
        }
    }

    pub(crate) fn release(self) -> Result<(), Error> {
        match self {
            Reserved::Kernel(blocks) => blocks.release(),
            Reserved::Held(_) => Ok(()),
        }
    }
}

fn hold(request: &Request) -> Result<Reserved, Error> {
    if request.consumers != Consumers::ASSOCIATED {
        return Err(Error::not_supported_held(
            "let sockets in that it does not bind itself",
        ));
    }
    let (start, count) = match &request.ports {
        Ports::Any { count } => (0, *count),
        Ports::These(ports) => (*ports.start(), ports.end() - ports.start() + 1),
    };
    let (first, others) = request.protocols();
    held::acquire(held::Request {
        protocols: &[&[first], others].concat(),
        start,
        count,
        align: request.align,
    })
    .map(Reserved::Held)
}

/// A socket of a family with what the standard library sets before it binds.
pub(crate) fn open(protocol: Protocol, is_ipv6: bool) -> Result<OwnedFd, Error> {
    let family = if is_ipv6 {
        libc::AF_INET6
    } else {
        libc::AF_INET
    };
    let socket = sys::socket(family, protocol.socket_type(), protocol.number())
        .map_err(|error| Error::from_call("making a socket", error))?;
    // On UDP the option would let sockets share the port.
    if protocol == Protocol::Tcp {
        sys::set_option(socket.as_fd(), libc::SOL_SOCKET, libc::SO_REUSEADDR, &1)
            .map_err(|error| Error::from_call("setting SO_REUSEADDR", error))?;
    }
    Ok(socket)
}
