//! Sockets of every kind that the tests bind. They are close-on-exec. Making one never fails in a
//! test, so that panics; what a test is about returns its errno.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd};

use nix::errno::Errno;
use socket2::{Domain, Protocol, SockRef, Socket, Type};

use crate::raw;

/// An IPv4 TCP socket.
#[must_use]
pub fn tcp4() -> Socket {
    new(Domain::IPV4, Type::STREAM, Protocol::TCP)
}

/// An IPv6 TCP socket, dual-stack unless [`v6only`] or the sysctl `bindv6only` says otherwise.
#[must_use]
pub fn tcp6() -> Socket {
    new(Domain::IPV6, Type::STREAM, Protocol::TCP)
}

/// An IPv4 UDP socket.
#[must_use]
pub fn udp4() -> Socket {
    new(Domain::IPV4, Type::DGRAM, Protocol::UDP)
}

/// An IPv6 UDP socket, dual-stack unless [`v6only`] or the sysctl `bindv6only` says otherwise.
#[must_use]
pub fn udp6() -> Socket {
    new(Domain::IPV6, Type::DGRAM, Protocol::UDP)
}

/// A Multipath TCP socket; `EPROTONOSUPPORT` or `ENOPROTOOPT` where the kernel has none.
pub fn mptcp(domain: Domain) -> Result<Socket, i32> {
    Socket::new(domain, Type::STREAM, Some(Protocol::MPTCP)).map_err(errno)
}

fn new(domain: Domain, kind: Type, protocol: Protocol) -> Socket {
    Socket::new(domain, kind, Some(protocol)).expect("make a socket")
}

/// Sets `IPV6_V6ONLY`.
pub fn v6only(socket: impl AsFd, on: bool) {
    SockRef::from(&socket)
        .set_only_v6(on)
        .expect("set IPV6_V6ONLY");
}

/// Sets `SO_REUSEADDR`.
pub fn reuseaddr(socket: impl AsFd, on: bool) {
    SockRef::from(&socket)
        .set_reuse_address(on)
        .expect("set SO_REUSEADDR");
}

/// Sets `SO_REUSEPORT`.
pub fn reuseport(socket: impl AsFd, on: bool) {
    SockRef::from(&socket)
        .set_reuse_port(on)
        .expect("set SO_REUSEPORT");
}

/// Binds to an address and port; port 0 is an automatic one.
pub fn bind(socket: impl AsFd, address: impl Into<IpAddr>, port: u16) -> Result<(), i32> {
    let address = SocketAddr::new(address.into(), port);
    SockRef::from(&socket).bind(&address.into()).map_err(errno)
}

/// Binds to the wildcard address of the socket's family.
pub fn bind_any(socket: impl AsFd, port: u16) -> Result<(), i32> {
    let domain = SockRef::from(&socket).domain().expect("read SO_DOMAIN");
    if domain == Domain::IPV6 {
        bind(socket, Ipv6Addr::UNSPECIFIED, port)
    } else {
        bind(socket, Ipv4Addr::UNSPECIFIED, port)
    }
}

/// Listens with a short backlog.
pub fn listen(socket: impl AsFd) -> Result<(), i32> {
    SockRef::from(&socket).listen(16).map_err(errno)
}

/// Connects.
pub fn connect(socket: impl AsFd, address: impl Into<IpAddr>, port: u16) -> Result<(), i32> {
    let address = SocketAddr::new(address.into(), port);
    SockRef::from(&socket)
        .connect(&address.into())
        .map_err(errno)
}

/// Takes a connection, and the address that came with it, from a socket: connects it to `AF_UNSPEC`.
pub fn disconnect(socket: impl AsFd) -> Result<(), i32> {
    let nobody = libc::sockaddr {
        sa_family: libc::AF_UNSPEC as libc::sa_family_t,
        sa_data: [0; 14],
    };
    let length = size_of_val(&nobody) as libc::socklen_t;
    // SAFETY: the address is valid for its length.
    let result = unsafe { libc::connect(socket.as_fd().as_raw_fd(), &raw const nobody, length) };
    Errno::result(result)
        .map(drop)
        .map_err(|errno| errno as i32)
}

/// Binds to an address, and leaves the port to `connect()` (`IP_BIND_ADDRESS_NO_PORT`).
pub fn bind_address(socket: impl AsFd, address: impl Into<IpAddr>) -> Result<(), i32> {
    let no_port = |on: i32| {
        let value = on.to_ne_bytes();
        let option = libc::IP_BIND_ADDRESS_NO_PORT;
        raw::set_bytes(&socket, libc::IPPROTO_IP, option, &value)
    };
    crate::assert_ok!(no_port(1));
    let bound = bind(&socket, address, 0);
    crate::assert_ok!(no_port(0));
    bound
}

/// Accepts a connection.
pub fn accept(listener: impl AsFd) -> Result<Socket, i32> {
    SockRef::from(&listener)
        .accept()
        .map(|(socket, _)| socket)
        .map_err(errno)
}

/// The port that the socket is bound to, 0 if it is not.
pub fn local_port(socket: impl AsFd) -> u16 {
    let address = SockRef::from(&socket).local_addr().expect("getsockname");
    address.as_socket().expect("an IP socket").port()
}

/// The kernel's number for the socket, `SO_COOKIE`.
pub fn cookie(socket: impl AsFd) -> u64 {
    number(socket, libc::SO_COOKIE)
}

/// The kernel's number for the network namespace of the socket, `SO_NETNS_COOKIE`.
pub fn netns_cookie(socket: impl AsFd) -> u64 {
    number(socket, libc::SO_NETNS_COOKIE)
}

fn number(socket: impl AsFd, option: i32) -> u64 {
    let value = raw::get_bytes(socket, libc::SOL_SOCKET, option, 8);
    let value = crate::assert_ok!(value);
    u64::from_ne_bytes(value.try_into().expect("8 bytes"))
}

/// An established TCP connection over one address of this host.
#[derive(Debug)]
pub struct Connection {
    /// The listening socket.
    pub listener: Socket,
    /// The connecting side.
    pub client: Socket,
    /// The accepted side.
    pub server: Socket,
}

/// Connects two sockets over `address`, each with the given port or, for 0, an automatic one. They
/// have `SO_REUSEADDR`, as a server's sockets do.
pub fn connection(
    address: impl Into<IpAddr>,
    server_port: u16,
    client_port: u16,
) -> Result<Connection, i32> {
    let address = address.into();
    let tcp = if address.is_ipv6() { tcp6 } else { tcp4 };
    let listener = tcp();
    reuseaddr(&listener, true);
    bind(&listener, address, server_port)?;
    listen(&listener)?;
    let client = tcp();
    reuseaddr(&client, true);
    if client_port != 0 {
        bind(&client, address, client_port)?;
    }
    connect(&client, address, local_port(&listener))?;
    let server = accept(&listener)?;
    Ok(Connection {
        listener,
        client,
        server,
    })
}

fn errno(error: io::Error) -> i32 {
    error.raw_os_error().expect("an error of the kernel")
}
