//! What the trials have in common.

use std::ops::RangeInclusive;

use portkeep_tests::raw::{self, Instance};
use portkeep_tests::socket2::Socket;
use portkeep_tests::{Protocol, assert_ok, sock};

/// Outside the automatic range of a new network namespace, and across two words of a bitmap.
pub(crate) const BLOCK: RangeInclusive<u16> = 61436..=61443;
pub(crate) const START: u16 = *BLOCK.start();
pub(crate) const END: u16 = *BLOCK.end();
pub(crate) const COUNT: u16 = END - START + 1;

pub(crate) const BOTH: [Protocol; 2] = [Protocol::Tcp, Protocol::Udp];

pub(crate) fn socket4(protocol: Protocol) -> Socket {
    match protocol {
        Protocol::Tcp => sock::tcp4(),
        Protocol::Udp => sock::udp4(),
    }
}

pub(crate) fn socket6(protocol: Protocol) -> Socket {
    match protocol {
        Protocol::Tcp => sock::tcp6(),
        Protocol::Udp => sock::udp6(),
    }
}

/// The block, acquired with flags, and the socket that keeps it.
#[derive(Debug)]
pub(crate) struct Acquired {
    pub(crate) protocol: Protocol,
    pub(crate) instance: Instance,
    _socket: Socket,
}

pub(crate) fn acquire(protocol: Protocol, flags: u32) -> Acquired {
    acquire_ports(protocol, BLOCK, flags)
}

pub(crate) fn acquire_ports(
    protocol: Protocol,
    ports: RangeInclusive<u16>,
    flags: u32,
) -> Acquired {
    let socket = socket4(protocol);
    let count = ports.end() - ports.start() + 1;
    assert_ok!(raw::acquire16(&socket, *ports.start(), count, flags, 0));
    let instance = assert_ok!(raw::instance(&socket));
    Acquired {
        protocol,
        instance,
        _socket: socket,
    }
}

impl Acquired {
    /// An unbound IPv4 socket that is associated with the block.
    pub(crate) fn associated(&self) -> Socket {
        let socket = socket4(self.protocol);
        self.associate(&socket);
        socket
    }

    pub(crate) fn associate(&self, socket: &Socket) {
        assert_ok!(raw::associate(socket, self.instance.token));
    }
}

/// A plain bind of a new IPv4 socket to any address; 0 or the errno, for the exit code of a child.
pub(crate) fn try_bind(protocol: Protocol, port: u16) -> i32 {
    sock::bind_any(socket4(protocol), port).err().unwrap_or(0)
}
