//! Ports that nothing keeps but the server's books.

use std::collections::VecDeque;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsRawFd as _;

use nix::errno::Errno;
use nix::sys::socket::sockopt::Ipv6V6Only;
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrStorage, bind, setsockopt, socket,
};

use crate::serve::ports::Given;

/// A pool, of which the port that was given back last is handed out last.
#[derive(Debug)]
pub struct Books {
    free: VecDeque<u16>,
    number: usize,
}

impl Books {
    pub fn new(ports: Vec<u16>) -> Self {
        Self {
            number: ports.len(),
            free: ports.into(),
        }
    }

    /// The next port that nobody is bound to.
    pub fn take(&mut self) -> (Option<Given>, u64) {
        self.take_if(|port| is_free(port).unwrap_or(false))
    }

    /// The next port that will do.
    pub fn take_if(&mut self, will_do: impl Fn(u16) -> bool) -> (Option<Given>, u64) {
        for checked in 1..=self.free.len() {
            let Some(port) = self.free.pop_front() else {
                break;
            };
            if will_do(port) {
                return (Some(Given { port, tokens: None }), checked as u64);
            }
            self.free.push_back(port);
        }
        (None, self.free.len() as u64)
    }

    pub fn give_back(&mut self, port: u16) {
        self.free.push_back(port);
    }

    pub fn number(&self) -> usize {
        self.number
    }
}

/// Whether TCP and UDP sockets can be bound to a port at all addresses of both families.
fn is_free(port: u16) -> io::Result<bool> {
    for kind in [SockType::Stream, SockType::Datagram] {
        let flags = SockFlag::SOCK_CLOEXEC;
        let (socket, address) = match socket(AddressFamily::Inet6, kind, flags, None) {
            Ok(socket) => {
                setsockopt(&socket, Ipv6V6Only, &false)?;
                (socket, SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)))
            }
            Err(Errno::EAFNOSUPPORT) => {
                let socket = nix::sys::socket::socket(AddressFamily::Inet, kind, flags, None)?;
                (socket, SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)))
            }
            Err(error) => return Err(error.into()),
        };
        match bind(socket.as_raw_fd(), &SockaddrStorage::from(address)) {
            Ok(()) => {}
            Err(Errno::EADDRINUSE | Errno::EACCES) => return Ok(false),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_back_goes_last() {
        let mut books = Books::new(vec![1, 2, 3]);
        let take = |books: &mut Books| books.take_if(|port| port != 2).0.map(|it| it.port);
        assert_eq!(take(&mut books), Some(1));
        books.give_back(1);
        assert_eq!(take(&mut books), Some(3));
        assert_eq!(take(&mut books), Some(1));
        assert_eq!(take(&mut books), None);
        assert_eq!(books.number(), 3);
    }

    #[test]
    fn a_bound_port_is_not_free() -> io::Result<()> {
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        let socket = std::net::UdpSocket::bind("127.0.0.1:0")?;
        assert!(!is_free(listener.local_addr()?.port())?);
        assert!(!is_free(socket.local_addr()?.port())?);
        Ok(())
    }
}
