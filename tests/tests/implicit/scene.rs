//! What the trials have in common: the block, and sockets that connect out of it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;

use portkeep_tests::raw::{self, Instance};
use portkeep_tests::socket2::Socket;
use portkeep_tests::{Protocol, assert_ok, sock};

/// Outside the automatic range, and across two words of a bitmap.
pub(crate) const BLOCK: RangeInclusive<u16> = 61438..=61441;
pub(crate) const START: u16 = *BLOCK.start();
pub(crate) const COUNT: u16 = *BLOCK.end() - START + 1;

/// Where a server is.
pub(crate) const SERVER: u16 = 10300;

/// Where nobody is.
pub(crate) const CLOSED: u16 = 10301;

pub(crate) const BOTH: [Protocol; 2] = [Protocol::Tcp, Protocol::Udp];

/// A socket that connects, and to where.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kind {
    pub(crate) protocol: Protocol,
    v6: bool,
    pub(crate) target: IpAddr,
}

impl Kind {
    pub(crate) fn all() -> Vec<Self> {
        let mapped: IpAddr = Ipv4Addr::LOCALHOST.to_ipv6_mapped().into();
        let (v4, v6) = (Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into());
        let kinds = BOTH.into_iter().flat_map(|protocol| {
            [(false, v4), (true, v6), (true, mapped)].map(|(v6, target)| Self {
                protocol,
                v6,
                target,
            })
        });
        // UDP over IPv6 takes an address of IPv4, too.
        let ipv4 = Self {
            protocol: Protocol::Udp,
            v6: true,
            target: v4,
        };
        kinds.chain([ipv4]).collect()
    }

    /// To an address over its own family.
    pub(crate) fn to(protocol: Protocol, target: IpAddr) -> Self {
        Self {
            protocol,
            v6: target.is_ipv6(),
            target,
        }
    }

    pub(crate) fn socket(self) -> Socket {
        let socket = match (self.protocol, self.v6) {
            (Protocol::Tcp, false) => sock::tcp4(),
            (Protocol::Tcp, true) => sock::tcp6(),
            (Protocol::Udp, false) => sock::udp4(),
            (Protocol::Udp, true) => sock::udp6(),
        };
        if self.v6 {
            sock::v6only(&socket, false);
        }
        socket
    }

    pub(crate) fn connect(self, socket: &Socket, port: u16) -> Result<(), i32> {
        sock::connect(socket, self.target, port)
    }
}

pub(crate) fn socket4(protocol: Protocol) -> Socket {
    match protocol {
        Protocol::Tcp => sock::tcp4(),
        Protocol::Udp => sock::udp4(),
    }
}

/// A dual-stack server at [`SERVER`].
pub(crate) fn server(protocol: Protocol) -> Socket {
    let socket = match protocol {
        Protocol::Tcp => sock::tcp6(),
        Protocol::Udp => sock::udp6(),
    };
    sock::v6only(&socket, false);
    sock::reuseaddr(&socket, true);
    assert_ok!(sock::bind_any(&socket, SERVER));
    if protocol == Protocol::Tcp {
        socket.listen(64).expect("listen");
    }
    socket
}

/// The port that the server sees at the other end of the newest connection or datagram.
pub(crate) fn peer(protocol: Protocol, server: &Socket, client: &Socket) -> u16 {
    let address = match protocol {
        Protocol::Tcp => server.accept().expect("accept").1,
        Protocol::Udp => {
            client.send(b"x").expect("send");
            let mut buffer = [std::mem::MaybeUninit::uninit()];
            server.recv_from(&mut buffer).expect("receive").1
        }
    };
    address.as_socket().expect("an IP address").port()
}

/// A block, acquired with flags, and the socket that keeps it.
pub(crate) struct Owner {
    pub(crate) block: Instance,
    pub(crate) keeper: Socket,
}

impl Owner {
    #[track_caller]
    pub(crate) fn acquire(protocol: Protocol, ports: RangeInclusive<u16>, flags: u32) -> Self {
        let keeper = socket4(protocol);
        let count = ports.end() - ports.start() + 1;
        assert_ok!(raw::acquire16(&keeper, *ports.start(), count, flags, 0));
        Self {
            block: assert_ok!(raw::instance(&keeper)),
            keeper,
        }
    }

    /// An unbound socket that is associated with the block.
    #[track_caller]
    pub(crate) fn associated(&self, kind: Kind) -> Socket {
        let socket = kind.socket();
        self.associate(&socket);
        socket
    }

    #[track_caller]
    pub(crate) fn associate(&self, socket: &Socket) {
        assert_ok!(raw::associate(socket, self.block.token));
        assert_eq!(sock::local_port(socket), 0);
    }

    #[track_caller]
    pub(crate) fn release(&self) {
        assert_ok!(raw::release(&self.keeper, self.block.token));
    }
}

/// Asserts that a socket is bound in the block, and returns its port.
#[track_caller]
pub(crate) fn assert_inside(socket: &Socket) -> u16 {
    let port = sock::local_port(socket);
    assert!(BLOCK.contains(&port), "{port} is not in {BLOCK:?}");
    port
}

/// Lets a TCP socket end with a reset, so that nothing stays in TIME_WAIT.
pub(crate) fn end_by_reset(socket: &Socket) {
    let linger = socket.set_linger(Some(std::time::Duration::ZERO));
    linger.expect("set SO_LINGER");
}

/// Sets a number at the level `IPPROTO_IP`.
pub(crate) fn set_option(socket: &Socket, option: i32, value: i32) {
    let level = portkeep_tests::libc::IPPROTO_IP;
    assert_ok!(raw::set_bytes(socket, level, option, &value.to_ne_bytes()));
}
