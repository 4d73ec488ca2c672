//! Automatic ports: those the kernel chooses. Half of a small automatic range is kept out of it by
//! `ip_local_reserved_ports` and reserved; the other half is used up, and never one of the first.

use std::collections::BTreeSet;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use portkeep_tests::socket2::Socket;
use portkeep_tests::{Protocol, Sandbox, assert_errno, assert_ok, enable, raw, sock};

use crate::scene::{Acquired, BOTH, acquire_ports, socket4, socket6, try_bind};

/// What the automatic range has that is not reserved, on both sides of what is.
const FREE: [u16; 16] = [
    40000, 40001, 40002, 40003, 40004, 40005, 40006, 40007, 40024, 40025, 40026, 40027, 40028,
    40029, 40030, 40031,
];

/// Outside the automatic range.
const SERVER: u16 = 50000;

/// Enables Portkeep and reserves the kept half for both protocols.
fn keep_half(sandbox: &Sandbox) -> [Acquired; 2] {
    set("ip_local_port_range", "40000 40031");
    set("ip_local_reserved_ports", "40008-40023");
    enable::enable(sandbox);
    BOTH.map(|protocol| acquire_ports(protocol, 40008..=40023, 0))
}

/// Sets a sysctl of this network namespace.
pub(crate) fn set(name: &str, value: &str) {
    fs::write(format!("/proc/sys/net/ipv4/{name}"), value)
        .unwrap_or_else(|error| panic!("set {name} to {value}: {error}"));
}

/// Lets the kernel choose ports for one socket after the other until it has none left: it must have
/// given out every free port, and then `errno`.
#[track_caller]
fn use_up(socket: impl Fn() -> Socket, choose: impl Fn(&Socket) -> Result<(), i32>, errno: i32) {
    let mut sockets = Vec::new();
    let refused = loop {
        assert!(sockets.len() <= FREE.len(), "more ports than there are");
        let socket = socket();
        match choose(&socket) {
            Ok(()) => sockets.push(socket),
            Err(errno) => break errno,
        }
    };
    let chosen: BTreeSet<u16> = sockets.iter().map(sock::local_port).collect();
    assert_eq!(chosen, BTreeSet::from(FREE));
    assert_eq!(sockets.len(), FREE.len());
    assert_eq!(refused, errno, "{}", portkeep_tests::errno_name(refused));
}

fn listener(address: IpAddr) -> Socket {
    let socket = if address.is_ipv4() {
        sock::tcp4()
    } else {
        sock::tcp6()
    };
    assert_ok!(sock::bind(&socket, address, SERVER));
    socket.listen(64).expect("listen");
    socket
}

const LOOPBACK: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::LOCALHOST),
    IpAddr::V6(Ipv6Addr::LOCALHOST),
];

fn socket(protocol: Protocol, address: IpAddr) -> Socket {
    if address.is_ipv4() {
        socket4(protocol)
    } else {
        socket6(protocol)
    }
}

pub(crate) fn bind_avoids_kept_ports(sandbox: &Sandbox) {
    let _kept = keep_half(sandbox);
    for protocol in BOTH {
        for address in LOOPBACK {
            let new = || socket(protocol, address);
            use_up(new, |socket| sock::bind_any(socket, 0), libc::EADDRINUSE);
            use_up(
                new,
                |socket| sock::bind(socket, address, 0),
                libc::EADDRINUSE,
            );
            assert_eq!(try_bind(protocol, 40008), libc::EADDRINUSE);
        }
    }
}

pub(crate) fn connect_avoids_kept_ports(sandbox: &Sandbox) {
    let _kept = keep_half(sandbox);
    for address in LOOPBACK {
        let _listener = listener(address);
        let reset = || {
            let socket = socket(Protocol::Tcp, address);
            // Closed with a reset, so that its port is not left in TIME_WAIT.
            let linger = socket.set_linger(Some(std::time::Duration::ZERO));
            linger.expect("set SO_LINGER");
            socket
        };
        let connect = |socket: &Socket| sock::connect(socket, address, SERVER);
        use_up(reset, connect, libc::EADDRNOTAVAIL);
        use_up(|| socket(Protocol::Udp, address), connect, libc::EAGAIN);
    }
}

pub(crate) fn listen_avoids_kept_ports(sandbox: &Sandbox) {
    let _kept = keep_half(sandbox);
    for address in LOOPBACK {
        let new = || socket(Protocol::Tcp, address);
        use_up(new, |socket| sock::listen(socket), libc::EADDRINUSE);
    }
}

pub(crate) fn sendto_avoids_kept_ports(sandbox: &Sandbox) {
    let _kept = keep_half(sandbox);
    for address in LOOPBACK {
        let send = |socket: &Socket| {
            let to = SocketAddr::new(address, SERVER).into();
            let sent = socket.send_to(b"x", &to);
            sent.map(drop)
                .map_err(|error| error.raw_os_error().expect("an errno"))
        };
        use_up(|| socket(Protocol::Udp, address), send, libc::EAGAIN);
    }
}

/// With `IP_BIND_ADDRESS_NO_PORT` (ip(7)) bind to port 0 leaves the choice to connect.
pub(crate) fn late_binding_avoids_kept_ports(sandbox: &Sandbox) {
    let _kept = keep_half(sandbox);
    let address = IpAddr::from(Ipv4Addr::LOCALHOST);
    let _listener = listener(address);
    let late = || {
        let socket = sock::tcp4();
        let linger = socket.set_linger(Some(std::time::Duration::ZERO));
        linger.expect("set SO_LINGER");
        set_option(&socket, libc::IP_BIND_ADDRESS_NO_PORT, 1);
        assert_ok!(sock::bind(&socket, address, 0));
        assert_eq!(sock::local_port(&socket), 0);
        socket
    };
    let connect = |socket: &Socket| sock::connect(socket, address, SERVER);
    use_up(late, connect, libc::EADDRNOTAVAIL);
    let stranger = late();
    assert_errno!(sock::bind(&stranger, address, 40008), EADDRINUSE);
}

/// Sets a number at the level `IPPROTO_IP`.
pub(crate) fn set_option(socket: &Socket, option: i32, value: u32) {
    assert_ok!(raw::set_bytes(
        socket,
        libc::IPPROTO_IP,
        option,
        &value.to_ne_bytes()
    ));
}
