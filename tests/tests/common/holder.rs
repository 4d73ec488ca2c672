//! Other processes that hold reservations.

use nix::unistd::pause;
use portkeep_tests::proc::{self, Child};
use portkeep_tests::socket2::Socket;
use portkeep_tests::{Channel, Protocol, assert_ok, raw, sock};

/// A process that has acquired a block and does nothing more. Dropping it ends both.
#[derive(Debug)]
pub(crate) struct Holder {
    pub(crate) child: Child,
    pub(crate) token: u64,
}

impl Holder {
    /// Starts one of user `uid`. What this process has open is open there too.
    #[track_caller]
    pub(crate) fn start(uid: u32, protocol: Protocol, start: u16, count: u16) -> Self {
        let (own, others) = Channel::pair();
        let child = proc::fork_child(|| {
            if uid != 0 {
                proc::drop_privileges(uid, uid);
            }
            let socket = socket(protocol);
            others.send(assert_ok!(raw::acquire(&socket, start, count)).token);
            loop {
                pause();
            }
        });
        Self {
            child,
            token: own.recv(),
        }
    }
}

/// An IPv4 socket of a protocol.
pub(crate) fn socket(protocol: Protocol) -> Socket {
    match protocol {
        Protocol::Tcp => sock::tcp4(),
        Protocol::Udp => sock::udp4(),
    }
}
