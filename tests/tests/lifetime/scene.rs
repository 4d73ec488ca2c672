//! A block to acquire, among neighbours that must come through untouched.

use std::ops::RangeInclusive;
use std::os::fd::{AsFd, OwnedFd};
use std::thread;
use std::time::{Duration, Instant};

use portkeep_tests::ports::{self, PortMap, probe_free};
use portkeep_tests::raw::{self, Instance};
use portkeep_tests::reservations::{self, Reservation};
use portkeep_tests::socket2::Socket;
use portkeep_tests::{Protocol, Sandbox, assert_ok, enable, sock};

/// The ports of the block. They lie in two words of a bitmap.
pub(crate) const BLOCK: RangeInclusive<u16> = 61436..=61443;
pub(crate) const START: u16 = *BLOCK.start();
pub(crate) const COUNT: u16 = *BLOCK.end() - START + 1;

/// An enabled sandbox in which the ports beside the block and the block of the other protocol are
/// reserved.
#[derive(Debug)]
pub(crate) struct Scene<'a> {
    pub(crate) sandbox: &'a Sandbox,
    pub(crate) protocol: Protocol,
    before: PortMap,
    _neighbours: [Socket; 2],
}

/// Plays a scene for each protocol.
pub(crate) fn each(sandbox: &Sandbox, play: impl Fn(&Scene<'_>)) {
    enable::enable(sandbox);
    for (protocol, other) in [
        (Protocol::Tcp, Protocol::Udp),
        (Protocol::Udp, Protocol::Tcp),
    ] {
        let (beside, same) = (socket(protocol), socket(other));
        assert_ok!(raw::acquire4(&beside, START - 1, 1));
        assert_ok!(raw::acquire4(&beside, BLOCK.end() + 1, 1));
        assert_ok!(raw::acquire4(&same, START, COUNT));
        let scene = Scene {
            sandbox,
            protocol,
            before: ports::map(sandbox),
            _neighbours: [beside, same],
        };
        play(&scene);
        scene.assert_over();
    }
}

/// An IPv4 socket of the protocol.
pub(crate) fn socket(protocol: Protocol) -> Socket {
    match protocol {
        Protocol::Tcp => sock::tcp4(),
        Protocol::Udp => sock::udp4(),
    }
}

impl Scene<'_> {
    /// A socket of the scene's protocol.
    pub(crate) fn socket(&self) -> Socket {
        socket(self.protocol)
    }

    /// Acquires the block on a socket.
    pub(crate) fn acquire(&self, socket: impl AsFd) -> Instance {
        let instance = assert_ok!(raw::acquire(socket, START, COUNT));
        assert_eq!((instance.start, instance.count), (START, COUNT));
        instance
    }

    /// A socket that has acquired the block.
    pub(crate) fn acquired(&self) -> (Socket, Instance) {
        let socket = self.socket();
        let instance = self.acquire(&socket);
        (socket, instance)
    }

    /// The block's line in the list.
    pub(crate) fn entry(&self) -> Option<Reservation> {
        let netns = sock::netns_cookie(self.socket());
        reservations::list(self.sandbox).into_iter().find(|entry| {
            entry.netns == netns && entry.protocol == self.protocol && entry.ports == BLOCK
        })
    }

    /// Asserts that the block is listed and that a stranger can bind none of its ports.
    #[track_caller]
    pub(crate) fn assert_held(&self) {
        assert!(self.entry().is_some(), "{:?}", ports::map(self.sandbox));
        let refused: Vec<_> = BLOCK.map(|port| (port, libc::EADDRINUSE)).collect();
        assert_eq!(probe_free(self.protocol, BLOCK), refused);
    }

    /// Asserts that the port map is as before, and that every port of the block binds.
    #[track_caller]
    pub(crate) fn assert_over(&self) {
        assert_eq!(ports::map(self.sandbox), self.before);
        assert_eq!(probe_free(self.protocol, BLOCK), []);
    }

    /// [`assert_over`](Self::assert_over) once another process or the kernel has closed the socket.
    #[track_caller]
    pub(crate) fn assert_over_soon(&self) {
        eventually(|| self.entry().is_none());
        self.assert_over();
    }
}

/// Waits for what another process or a thread of the kernel does.
#[track_caller]
pub(crate) fn eventually(condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !condition() {
        assert!(Instant::now() < deadline, "it did not happen in 30 seconds");
        thread::sleep(Duration::from_millis(1));
    }
}

/// Another descriptor for the same socket.
pub(crate) fn duplicate(socket: impl AsFd) -> OwnedFd {
    let socket = socket.as_fd();
    socket.try_clone_to_owned().expect("duplicate the socket")
}
