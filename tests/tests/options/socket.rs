//! A socket of any kind, brought into any state.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;
use portkeep_tests::{libc, sock};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Fresh,
    /// To an automatic address.
    Bound,
    Listening,
    /// The side that connected, or a datagram socket.
    Connected,
    Accepted,
    /// Of `socketpair(2)`.
    Pair,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Kind {
    pub(crate) family: i32,
    pub(crate) kind: i32,
    pub(crate) protocol: i32,
    pub(crate) state: State,
}

/// The socket in question first, and what keeps it in its state.
pub(crate) type Sockets = Vec<OwnedFd>;

impl Kind {
    pub(crate) const fn fresh(family: i32, kind: i32, protocol: i32) -> Self {
        Self {
            family,
            kind,
            protocol,
            state: State::Fresh,
        }
    }

    fn socket(self) -> io::Result<OwnedFd> {
        let kind = self.kind | libc::SOCK_CLOEXEC;
        // SAFETY: numbers only; what it gives is a descriptor of ours.
        owned(unsafe { libc::socket(self.family, kind, self.protocol) })
    }

    pub(crate) fn open(self) -> io::Result<Sockets> {
        if self.state == State::Pair {
            let mut pair = [0; 2];
            let kind = self.kind | libc::SOCK_CLOEXEC;
            // SAFETY: the array has room for two descriptors.
            let result =
                unsafe { libc::socketpair(self.family, kind, self.protocol, pair.as_mut_ptr()) };
            Errno::result(result)?;
            return pair.map(owned).into_iter().collect();
        }
        let socket = self.socket()?;
        match self.state {
            State::Fresh | State::Pair => return Ok(vec![socket]),
            State::Bound => bind(&socket, &self.own_address())?,
            State::Listening => {
                bind(&socket, &self.own_address())?;
                listen(&socket)?;
            }
            State::Connected | State::Accepted if self.kind == libc::SOCK_DGRAM => {
                let peer = self.socket()?;
                bind(&peer, &self.own_address())?;
                connect(&socket, &peer)?;
                return Ok(vec![socket, peer]);
            }
            State::Connected | State::Accepted => {
                let listener = self.socket()?;
                bind(&listener, &self.own_address())?;
                listen(&listener)?;
                connect(&socket, &listener)?;
                // SAFETY: no address is asked for.
                let accepted = unsafe {
                    let (fd, none) = (listener.as_raw_fd(), std::ptr::null_mut());
                    libc::accept4(fd, none, none.cast(), libc::SOCK_CLOEXEC)
                };
                let accepted = owned(accepted)?;
                return Ok(match self.state {
                    State::Accepted => vec![accepted, socket, listener],
                    _ => vec![socket, accepted, listener],
                });
            }
        }
        Ok(vec![socket])
    }

    /// The loopback address or the loopback interface, and an automatic rest.
    fn own_address(self) -> Vec<u8> {
        let mut address = u16::try_from(self.family)
            .expect("a family")
            .to_ne_bytes()
            .to_vec();
        match self.family {
            libc::AF_INET => address.extend([0, 0, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]),
            libc::AF_INET6 => {
                address.resize(28, 0);
                address[23] = 1;
            }
            // Nothing but the family: an automatic name.
            libc::AF_UNIX => {}
            // Groups 1, 2 and 5.
            libc::AF_NETLINK => {
                address.resize(8, 0);
                address.extend(0b1_0011_u32.to_ne_bytes());
            }
            libc::AF_PACKET => {
                // ETH_P_ALL, the interface 1.
                address.extend([0, 3]);
                address.extend(1_i32.to_ne_bytes());
                address.resize(20, 0);
            }
            libc::AF_VSOCK => {
                address.resize(4, 0);
                // VMADDR_PORT_ANY, VMADDR_CID_ANY.
                address.resize(12, 0xff);
                address.resize(16, 0);
            }
            _ => address.resize(16, 0),
        }
        address
    }
}

fn owned(fd: RawFd) -> io::Result<OwnedFd> {
    let fd = Errno::result(fd)?;
    // SAFETY: a system call has just given it, and nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn bind(socket: &OwnedFd, address: &[u8]) -> io::Result<()> {
    let length = libc::socklen_t::try_from(address.len()).expect("a length");
    // SAFETY: the address is readable for its length.
    let result = unsafe { libc::bind(socket.as_raw_fd(), address.as_ptr().cast(), length) };
    Ok(Errno::result(result).map(drop)?)
}

fn listen(socket: &OwnedFd) -> io::Result<()> {
    sock::listen(socket).map_err(io::Error::from_raw_os_error)
}

fn connect(socket: &OwnedFd, peer: &OwnedFd) -> io::Result<()> {
    let mut address = [0_u8; 128];
    let mut length = address.len() as libc::socklen_t;
    // SAFETY: the kernel writes as many bytes as `length` says at most, and reads what it wrote.
    let result = unsafe {
        let (address, length) = (address.as_mut_ptr(), &raw mut length);
        Errno::result(libc::getsockname(peer.as_raw_fd(), address.cast(), length))?;
        libc::connect(socket.as_raw_fd(), address.cast(), *length)
    };
    Ok(Errno::result(result).map(drop)?)
}
