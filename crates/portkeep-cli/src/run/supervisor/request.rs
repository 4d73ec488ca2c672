//! What a call asks for.

use std::net::SocketAddr;
use std::os::fd::{AsRawFd as _, BorrowedFd};

use nix::errno::Errno;
use serde::{Deserialize, Serialize};

use crate::run::supervisor::address;

/// A call, with all that was in the caller's memory: it may have changed since.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Request {
    /// To this address, as the caller wrote it.
    Bind(Vec<u8>),
    /// With this backlog.
    Listen(i32),
}

impl Request {
    /// The address, if it is one of IPv4 or IPv6.
    pub fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Bind(address) => address::parse(address),
            Self::Listen(_) => None,
        }
    }

    /// Makes the call as the caller would; gives 0 or an errno.
    pub fn make(&self, socket: BorrowedFd<'_>) -> i32 {
        let socket = socket.as_raw_fd();
        let result = match self {
            // SAFETY: the kernel reads the address, which is so long.
            Self::Bind(address) => unsafe {
                libc::bind(
                    socket,
                    address.as_ptr().cast(),
                    address.len() as libc::socklen_t,
                )
            },
            // SAFETY: the call takes no pointers.
            Self::Listen(backlog) => unsafe { libc::listen(socket, *backlog) },
        };
        Errno::result(result).map_or_else(|error| error as i32, |_| 0)
    }
}
