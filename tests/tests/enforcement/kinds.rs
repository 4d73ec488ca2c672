//! Every kind of bind there is: protocol, family, options and address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use portkeep_tests::socket2::Socket;
use portkeep_tests::{Protocol, errno_name, sock};

use crate::scene::{socket4, socket6};

#[derive(Clone, Copy, Debug)]
enum Family {
    V4,
    V6Only,
    DualStack,
}

impl Family {
    const ALL: [Self; 3] = [Self::V4, Self::V6Only, Self::DualStack];

    fn addresses(self) -> &'static [IpAddr] {
        const MAPPED: Ipv6Addr = Ipv4Addr::LOCALHOST.to_ipv6_mapped();
        match self {
            Self::V4 => &[
                IpAddr::V4(Ipv4Addr::UNSPECIFIED),
                IpAddr::V4(Ipv4Addr::LOCALHOST),
            ],
            Self::V6Only => &[
                IpAddr::V6(Ipv6Addr::UNSPECIFIED),
                IpAddr::V6(Ipv6Addr::LOCALHOST),
            ],
            Self::DualStack => &[
                IpAddr::V6(Ipv6Addr::UNSPECIFIED),
                IpAddr::V6(Ipv6Addr::LOCALHOST),
                IpAddr::V6(MAPPED),
            ],
        }
    }
}

/// One kind of bind.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kind {
    protocol: Protocol,
    family: Family,
    reuseaddr: bool,
    reuseport: bool,
    address: IpAddr,
}

impl Kind {
    /// All of a protocol.
    pub(crate) fn all(protocol: Protocol) -> impl Iterator<Item = Self> {
        Family::ALL.into_iter().flat_map(move |family| {
            family.addresses().iter().flat_map(move |&address| {
                (0..4).map(move |options| Self {
                    protocol,
                    family,
                    reuseaddr: options & 1 != 0,
                    reuseport: options & 2 != 0,
                    address,
                })
            })
        })
    }

    /// A new socket of this kind, not bound yet.
    pub(crate) fn socket(self) -> Socket {
        let socket = match self.family {
            Family::V4 => socket4(self.protocol),
            Family::V6Only | Family::DualStack => {
                let socket = socket6(self.protocol);
                sock::v6only(&socket, matches!(self.family, Family::V6Only));
                socket
            }
        };
        sock::reuseaddr(&socket, self.reuseaddr);
        sock::reuseport(&socket, self.reuseport);
        socket
    }

    /// Binds a new socket of this kind and closes it: 0 or the errno.
    pub(crate) fn bind(self, port: u16) -> i32 {
        self.bind_socket(&self.socket(), port)
    }

    /// Binds a socket of this kind: 0 or the errno.
    pub(crate) fn bind_socket(self, socket: &Socket, port: u16) -> i32 {
        let result = sock::bind(socket, self.address, port);
        let bound = sock::local_port(socket);
        assert_eq!(bound, if result.is_ok() { port } else { 0 }, "{self:?}");
        result.err().unwrap_or(0)
    }
}

/// Asserts how every kind of bind of a protocol to a port ends.
#[track_caller]
pub(crate) fn assert_all(protocol: Protocol, port: u16, errno: i32) {
    let others: Vec<_> = Kind::all(protocol)
        .map(|kind| (kind, kind.bind(port)))
        .filter(|&(_, other)| other != errno)
        .map(|(kind, other)| format!("{kind:?}: {}", errno_name(other)))
        .collect();
    let expected = errno_name(errno);
    assert!(
        others.is_empty(),
        "port {port} of {protocol:?}, not {expected}: {others:#?}"
    );
}
