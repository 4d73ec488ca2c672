//! Reservations that are held by sockets, where the kernel part is not there.
//!
//! The library keeps for the process what the kernel part would: which blocks there are, by their
//! tokens, and which socket acquired each; `Socket::associated` has which sockets may bind there.
//! So a block ends when its socket is closed by `closesocket`, and when the process ends; a copy of
//! the socket does not keep it. Other processes' tokens are unknown here.

use std::collections::BTreeMap;
use std::ffi::c_int;
use std::mem::MaybeUninit;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::Arc;

use libc::{sockaddr, sockaddr_in, sockaddr_in6, socklen_t};
use portkeep::{Backend, PortRange, Protocol, Reservation, sockopt};

use crate::code::Code;
use crate::monitor;
use crate::socket::{self, Handle};
use crate::user_memory;

/// A bit of all tokens here. The kernel part's are smaller numbers. (The sign is left alone, for programs
/// print tokens as signed numbers.)
const TAG: u64 = 1 << 62;

/// The blocks that this process holds.
#[derive(Debug)]
pub(crate) struct Blocks {
    blocks: BTreeMap<u64, Block>,
}

#[derive(Debug)]
struct Block {
    reservation: Arc<Reservation>,
    range: PortRange,
    acquirer: Handle,
}

impl Blocks {
    pub(crate) const fn new() -> Blocks {
        Blocks {
            blocks: BTreeMap::new(),
        }
    }

    fn protocol(&self, token: u64) -> Option<Protocol> {
        Some(self.blocks.get(&token)?.range.protocol())
    }

    /// Ends what the socket has acquired.
    pub(crate) fn end_of(&mut self, acquirer: Handle) {
        self.blocks.retain(|_, block| block.acquirer != acquirer);
    }

    /// Closes this process's copies of the holders.
    pub(crate) fn close(&mut self) {
        for (_, block) in std::mem::take(&mut self.blocks) {
            match Arc::try_unwrap(block.reservation) {
                Ok(reservation) => drop(reservation),
                // A thread of the parent was about to use it, and is not here to let go.
                Err(shared) => {
                    for holder in shared.sockets() {
                        // SAFETY: nobody uses the descriptor here: this reference is not dropped.
                        unsafe { libc::close(holder.as_raw_fd()) };
                    }
                    std::mem::forget(shared);
                }
            }
        }
    }

    fn hold(&self, protocol: Protocol, port: u16) -> bool {
        self.blocks
            .values()
            .any(|block| block.range.protocol() == protocol && block.range.contains(port))
    }
}

/// Acquires as the kernel part would have; what it gives is the range and the token.
pub(crate) fn acquire(acquirer: Handle, start: u16, count: u16) -> Result<(PortRange, u64), Code> {
    let protocol = protocol_of(acquirer.as_fd())?;
    let request = Reservation::builder()
        .backend(Backend::Held)
        .protocol(protocol);
    let request = match start {
        0 => request.count(count),
        _ => {
            let range = PortRange::with_count(protocol, start, count).map_err(|_| Code::INVAL)?;
            request.range(range.start()..=range.end())
        }
    };
    let reservation = request.acquire()?;
    let range = reservation.range(protocol).ok_or(Code::INVAL)?;
    let mut world = monitor::lock();
    let blocks = &mut world.held;
    let token = loop {
        let token = random_token()?;
        if !blocks.blocks.contains_key(&token) {
            break token;
        }
    };
    let reservation = Arc::new(reservation);
    let block = Block {
        reservation,
        range,
        acquirer,
    };
    blocks.blocks.insert(token, block);
    Ok((range, token))
}

/// A token that nobody can guess, and that another process hardly has, too: its blocks are not known here.
fn random_token() -> Result<u64, Code> {
    let bytes = portkeep_host::random::bytes(0).map_err(|_| Code::NOBUFS)?;
    Ok((u64::from_ne_bytes(bytes) % TAG) | TAG)
}

/// Whether a token is that of a block that this process holds.
pub(crate) fn has(token: u64) -> bool {
    monitor::lock().held.blocks.contains_key(&token)
}

/// The socket is associated with a block of the kernel part now.
pub(crate) fn dissociate(socket: Handle) {
    if let Some(entry) = monitor::lock().sockets.get(socket) {
        entry.associated = None;
    }
}

/// Ends a block. Sockets that are bound to its ports stay so.
pub(crate) fn release(socket: Handle, token: u64) -> Result<(), Code> {
    protocol_of(socket.as_fd())?;
    let removed = monitor::lock().held.blocks.remove(&token);
    removed.map(drop).ok_or(Code::INVAL)
}

/// Lets the socket bind in a block.
pub(crate) fn associate(socket: Handle, token: u64) -> Result<(), Code> {
    let protocol = protocol_of(socket.as_fd())?;
    let is_bound = bound_port(socket.as_fd())? != 0;
    // Where the kernel part has come since: it would refuse the socket the ports that are held.
    if matches!(sockopt::associated(socket.as_fd()), Ok(Some(_))) {
        return Err(Code::INVAL);
    }
    let mut world = monitor::lock();
    if is_bound || world.held.protocol(token) != Some(protocol) {
        return Err(Code::INVAL);
    }
    world.sockets.get(socket).ok_or(Code::NOTSOCK)?.associated = Some(token);
    Ok(())
}

/// The block that a socket is associated with. `None` within if that has ended.
fn block_of(socket: Handle) -> Option<Option<Arc<Reservation>>> {
    let mut world = monitor::lock();
    let token = world.sockets.get(socket)?.associated?;
    let block = world.held.blocks.get(&token);
    Some(block.map(|block| Arc::clone(&block.reservation)))
}

/// Binds an associated socket; `None` if the socket is not associated.
pub(crate) fn bind(
    socket: Handle,
    address: *const sockaddr,
    length: socklen_t,
) -> Option<Result<c_int, Code>> {
    let block = block_of(socket)?;
    let bind = || {
        let address = read_address(address, length)?;
        // As with the kernel part the ports are others' now.
        let block = block.ok_or(Code::ADDRNOTAVAIL)?;
        block.bind(socket.as_fd(), address)?;
        Ok(0)
    };
    Some(bind())
}

/// Listens on a socket that was bound in a block; `None` if it was not, or the block has ended.
pub(crate) fn listen(socket: Handle, backlog: c_int) -> Option<Result<c_int, Code>> {
    let block = block_of(socket)??;
    let listened = block.listen(socket.as_fd(), backlog);
    Some(listened.map(|()| 0).map_err(Code::from))
}

/// Whether a process of this user holds the port that a bind was refused.
pub(crate) fn holds(
    socket: BorrowedFd<'_>,
    address: *const sockaddr,
    length: socklen_t,
) -> Result<bool, Code> {
    let port = read_address(address, length)?.port();
    let protocol = protocol_of(socket)?;
    if monitor::lock().held.hold(protocol, port) {
        return Ok(true);
    }
    let netns = portkeep::netns_cookie().ok();
    Ok(portkeep::list_held().iter().any(|entry| {
        Some(entry.netns_cookie) == netns
            && entry.range.protocol() == protocol
            && entry.range.contains(port)
    }))
}

/// An IPv4 or IPv6 address as bind(2) takes it.
pub(crate) fn read_address(
    address: *const sockaddr,
    length: socklen_t,
) -> Result<SocketAddr, Code> {
    let fits = |size: usize| match (length as usize) < size {
        true => Err(Code::FAULT),
        false => Ok(()),
    };
    fits(size_of::<libc::sa_family_t>())?;
    let family = user_memory::read(address.cast::<libc::sa_family_t>())?;
    match c_int::from(family) {
        libc::AF_INET => {
            fits(size_of::<sockaddr_in>())?;
            let address = user_memory::read(address.cast::<sockaddr_in>())?;
            let ip = Ipv4Addr::from(address.sin_addr.s_addr.to_ne_bytes());
            Ok((ip, u16::from_be(address.sin_port)).into())
        }
        libc::AF_INET6 => {
            fits(size_of::<sockaddr_in6>())?;
            let address = user_memory::read(address.cast::<sockaddr_in6>())?;
            Ok(SocketAddrV6::new(
                Ipv6Addr::from(address.sin6_addr.s6_addr),
                u16::from_be(address.sin6_port),
                address.sin6_flowinfo,
                address.sin6_scope_id,
            )
            .into())
        }
        _ => Err(Code::from_errno(libc::EAFNOSUPPORT)),
    }
}

/// The protocol of a TCP or UDP socket.
fn protocol_of(socket: BorrowedFd<'_>) -> Result<Protocol, Code> {
    let kind = socket::option(socket, libc::SO_TYPE)?;
    match (kind, socket::option(socket, libc::SO_PROTOCOL)?) {
        (libc::SOCK_STREAM, libc::IPPROTO_TCP) => Ok(Protocol::Tcp),
        (libc::SOCK_DGRAM, libc::IPPROTO_UDP) => Ok(Protocol::Udp),
        _ => Err(Code::OPNOTSUPP),
    }
}

/// The port that a socket is bound to, 0 if none.
fn bound_port(socket: BorrowedFd<'_>) -> Result<u16, Code> {
    let mut address = MaybeUninit::<sockaddr_in6>::zeroed();
    let mut length = size_of::<sockaddr_in6>() as socklen_t;
    // SAFETY: the pointer and the length describe `address`.
    let result = unsafe {
        libc::getsockname(
            socket.as_raw_fd(),
            address.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    if result != 0 {
        return Err(Code::last_os_error());
    }
    // SAFETY: all fields are integers, and it began as zeros. The port is where sockaddr_in has it.
    Ok(unsafe { address.assume_init() }.sin6_port)
}
