//! What the movers have in common: their sockets, somewhere to connect to, and TIME_WAITs.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::AsRawFd;

use portkeep_tests::socket2::Socket;
use portkeep_tests::{Protocol, assert_ok, libc, sock};

use crate::hunt::PORT;

/// Of the moving socket, and of where it goes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Family {
    V4,
    V6Only,
    /// An IPv6 socket at `::` that connects over IPv6.
    DualStack,
    /// An IPv6 socket at `::` that connects over IPv4.
    Mapped,
    /// An IPv6 socket at `::ffff:0.0.0.0`.
    MappedAny,
}

impl Family {
    pub(crate) const ALL: [Self; 5] = [
        Self::V4,
        Self::V6Only,
        Self::DualStack,
        Self::Mapped,
        Self::MappedAny,
    ];

    /// An unbound socket that does not wait and lets others share its port.
    pub(crate) fn socket(self, protocol: Protocol) -> Socket {
        let socket = match (self, protocol) {
            (Self::V4, Protocol::Tcp) => sock::tcp4(),
            (Self::V4, Protocol::Udp) => sock::udp4(),
            (_, Protocol::Tcp) => sock::tcp6(),
            (_, Protocol::Udp) => sock::udp6(),
        };
        if !matches!(self, Self::V4) {
            sock::v6only(&socket, matches!(self, Self::V6Only));
        }
        sock::reuseaddr(&socket, true);
        socket.set_nonblocking(true).expect("set O_NONBLOCK");
        socket
    }

    /// One that is bound to the port that everybody is after.
    pub(crate) fn bound(self, protocol: Protocol) -> Socket {
        let socket = self.socket(protocol);
        assert_ok!(sock::bind(&socket, self.any(), PORT));
        socket
    }

    pub(crate) fn any(self) -> IpAddr {
        match self {
            Self::V4 => Ipv4Addr::UNSPECIFIED.into(),
            Self::MappedAny => Ipv4Addr::UNSPECIFIED.to_ipv6_mapped().into(),
            Self::V6Only | Self::DualStack | Self::Mapped => Ipv6Addr::UNSPECIFIED.into(),
        }
    }

    pub(crate) fn target(self) -> IpAddr {
        match self {
            Self::V4 => Ipv4Addr::LOCALHOST.into(),
            Self::Mapped | Self::MappedAny => Ipv4Addr::LOCALHOST.to_ipv6_mapped().into(),
            Self::V6Only | Self::DualStack => Ipv6Addr::LOCALHOST.into(),
        }
    }
}

/// `connect(2)` to `AF_UNSPEC`: dissolves what is there, and moves the socket to the list of no
/// address, whether it was connected or not.
pub(crate) fn disconnect(socket: &Socket) {
    // SAFETY: a sockaddr is numbers only, for which all zero is valid; 0 is AF_UNSPEC.
    let nowhere: libc::sockaddr = unsafe { std::mem::zeroed() };
    // SAFETY: the address is there for the call.
    unsafe {
        libc::connect(
            socket.as_raw_fd(),
            &raw const nowhere,
            size_of::<libc::sockaddr>() as libc::socklen_t,
        )
    };
}

/// A listener whose queue is full: a connect to it stays under way.
pub(crate) struct Busy {
    listener: Socket,
    _queue: Vec<Socket>,
}

impl Busy {
    pub(crate) fn new() -> Self {
        let listener = sock::tcp6();
        sock::v6only(&listener, false);
        assert_ok!(sock::bind_any(&listener, 0));
        listener.listen(0).expect("listen");
        let port = sock::local_port(&listener);
        let queue = (0..3).map(|_| {
            let socket = sock::tcp4();
            socket.set_nonblocking(true).expect("set O_NONBLOCK");
            let _ = sock::connect(&socket, Ipv4Addr::LOCALHOST, port);
            socket
        });
        Self {
            _queue: queue.collect(),
            listener,
        }
    }

    pub(crate) fn port(&self) -> u16 {
        sock::local_port(&self.listener)
    }
}

/// Leaves TIME_WAITs at the port, of connections to its IPv4 addresses 127.0.0.`last`, in this
/// order. Whoever walks over them is slow.
pub(crate) fn leave_time_waits(groups: &[(u8, usize)]) {
    let listener = sock::tcp6();
    sock::v6only(&listener, false);
    sock::reuseaddr(&listener, true);
    assert_ok!(sock::bind_any(&listener, PORT));
    assert_ok!(sock::listen(&listener));
    for &(last, count) in groups {
        for _ in 0..count {
            let client = sock::tcp4();
            assert_ok!(sock::connect(&client, Ipv4Addr::new(127, 0, 0, last), PORT));
            let server = assert_ok!(sock::accept(&listener));
            // Who closes first keeps the port.
            drop(server);
            drop(client);
        }
    }
}

/// TIME_WAITs before and behind the lists between which the socket moves.
pub(crate) fn pad(count: usize) {
    leave_time_waits(&[(4, count / 2), (1, 1), (3, count / 2)]);
}
