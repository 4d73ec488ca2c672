//! What each process does: few ports, so that everybody meets everybody.

use std::io::Read as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::OwnedFd;
use std::thread;

use portkeep_tests::socket2::{Domain, SockRef};
use portkeep_tests::{Protocol, errno_name, expect_ok, libc, raw, sock};

use crate::record::{Answer, Call, Kind, Recorder};

/// On both sides of a bound between two words of the bitmaps.
pub(crate) const FIRST: u16 = 61438;
pub(crate) const LAST: u16 = 61441;

/// Its TCP port has TIME_WAITs ([`leave`]), and a socket that moves about ([`move_about`]).
pub(crate) const LEFT: u16 = FIRST;

/// Nobody listens there.
const NOBODY: u16 = 9;

/// Ports of a block that goes beyond those. To look for sockets, or to mark, takes long enough for others
/// to come between the first port and the last.
const MANY: u16 = 700;

/// That one process makes.
pub(crate) const CALLS: usize = 6000;

/// That the one with the moving socket makes.
const MOVER_CALLS: usize = CALLS / 2;

/// Blocks, and sockets, that a process has at a time.
const HELD: usize = 2;

/// A pseudo-random sequence (xorshift64*).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u32) -> u32 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        ((self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 32) as u32) % bound
    }
}

struct Block {
    socket: OwnedFd,
    protocol: Protocol,
    start: u16,
    count: u16,
    token: u64,
    id: u32,
}

struct BoundSocket {
    socket: OwnedFd,
    protocol: Protocol,
    port: u16,
    id: u32,
}

struct Work<'a> {
    random: Random,
    recorder: &'a Recorder,
    blocks: Vec<Block>,
    sockets: Vec<BoundSocket>,
    next: u32,
}

/// Makes its calls, then gives back what it has.
pub(crate) fn work(seed: u64, who: u64, recorder: &Recorder) -> i32 {
    let mut work = Work {
        random: Random((seed ^ (who + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15)).max(1)),
        recorder,
        blocks: Vec::new(),
        sockets: Vec::new(),
        next: 0,
    };
    let at_the_end = 2 * HELD;
    while recorder.len() < CALLS - at_the_end {
        // Otherwise a process may be over before the next one runs.
        if work.random.below(16) == 0 {
            thread::yield_now();
        }
        match work.random.below(5) {
            0 | 1 if work.blocks.len() < HELD => work.acquire(),
            0 => work.release(),
            2 | 3 if work.sockets.len() < HELD => work.bind(),
            2 => work.close(),
            4 if work.sockets.len() < HELD && !work.blocks.is_empty() => work.connect(),
            _ if work.random.below(2) == 0 => work.release(),
            _ => work.close(),
        }
    }
    while !work.blocks.is_empty() {
        work.release();
    }
    while !work.sockets.is_empty() {
        work.close();
    }
    0
}

impl Work<'_> {
    fn socket(&mut self, protocol: Protocol) -> OwnedFd {
        match (protocol, self.random.below(2)) {
            (Protocol::Tcp, 0) => sock::tcp4(),
            (Protocol::Tcp, _) => sock::tcp6(),
            (Protocol::Udp, 0) => sock::udp4(),
            (Protocol::Udp, _) => sock::udp6(),
        }
        .into()
    }

    fn call(&mut self, kind: Kind, protocol: Protocol, start: u16, count: u16) -> Call {
        self.next += 1;
        Call {
            kind,
            protocol,
            start,
            wildcard: start == 0,
            count,
            id: self.next,
            invoked: 0,
            answer: None,
        }
    }

    fn acquire(&mut self) {
        let protocol = [Protocol::Tcp, Protocol::Udp][self.random.below(2) as usize];
        let count = match self.random.below(4) {
            0 => MANY,
            _ => 1 + self.random.below(3) as u16,
        };
        let start = match self.random.below(6) {
            0 if count != MANY => 0,
            _ if count == MANY => FIRST + self.random.below(u32::from(LAST - FIRST + 1)) as u16,
            _ => FIRST + self.random.below(u32::from(LAST - FIRST + 2 - count)) as u16,
        };
        let socket = self.socket(protocol);
        let call = self.call(Kind::Acquire, protocol, start, count);
        let mut given = None;
        let answer = self
            .recorder
            .call(call, || match raw::acquire4(&socket, start, count) {
                Ok(()) => {
                    let instance = expect_ok(raw::instance(&socket), "read the token");
                    given = Some(instance);
                    (Answer::default(), Some(instance.start))
                }
                Err(errno) => (refused(&socket, errno), None),
            });
        if let Some(instance) = given {
            self.blocks.push(Block {
                socket,
                protocol,
                start: instance.start,
                count,
                token: instance.token,
                id: call.id,
            });
        }
        assert_ne!(answer.responded, 0);
    }

    fn release(&mut self) {
        let Some(index) = self
            .random
            .below(HELD as u32)
            .checked_rem(self.blocks.len() as u32)
        else {
            return;
        };
        let block = self.blocks.swap_remove(index as usize);
        let call = Call {
            id: block.id,
            ..self.call(Kind::Release, block.protocol, block.start, block.count)
        };
        let by_close = self.random.below(2) == 0;
        self.recorder.call(call, || {
            if by_close {
                drop(block.socket);
            } else {
                expect_ok(
                    raw::release(&block.socket, block.token),
                    "release an own block",
                );
            }
            (Answer::default(), None)
        });
    }

    /// As a stranger, or with an own block mostly as its owner.
    fn bind(&mut self) {
        let index = self.random.below(3) as usize;
        let (kind, protocol, port, token) = match self.blocks.get(index) {
            Some(block) => {
                let port = block.start + self.random.below(u32::from(block.count)) as u16;
                (Kind::BindAssociated, block.protocol, port, block.token)
            }
            None => {
                let protocol = [Protocol::Tcp, Protocol::Udp][self.random.below(2) as usize];
                let port = FIRST + self.random.below(u32::from(LAST - FIRST + 1)) as u16;
                (Kind::Bind, protocol, port, 0)
            }
        };
        let socket = self.socket(protocol);
        if token != 0 {
            expect_ok(
                raw::associate(&socket, token),
                "associate with an own block",
            );
        }
        let call = self.call(kind, protocol, port, 1);
        let answer = self
            .recorder
            .call(call, || match sock::bind_any(&socket, port) {
                Ok(()) => (Answer::default(), None),
                Err(errno) => (refused(&socket, errno), None),
            });
        if answer.errno == 0 {
            self.sockets.push(BoundSocket {
                socket,
                protocol,
                port,
                id: call.id,
            });
        }
    }

    /// An unbound socket that is associated with an own block: of TCP in vain, and it is bound all the
    /// same.
    fn connect(&mut self) {
        let index = self.random.below(self.blocks.len() as u32) as usize;
        let (protocol, token) = (self.blocks[index].protocol, self.blocks[index].token);
        let socket = self.socket(protocol);
        expect_ok(
            raw::associate(&socket, token),
            "associate with an own block",
        );
        let call = self.call(Kind::Connect, protocol, 0, 1);
        let answer = self.recorder.call(call, || {
            match sock::connect(&socket, loopback(&socket), NOBODY) {
                Ok(()) | Err(libc::ECONNREFUSED) => {
                    (Answer::default(), Some(sock::local_port(&socket)))
                }
                Err(errno) => (refused(&socket, errno), None),
            }
        });
        if answer.errno == 0 {
            self.sockets.push(BoundSocket {
                port: sock::local_port(&socket),
                socket,
                protocol,
                id: call.id,
            });
        }
    }

    fn close(&mut self) {
        let Some(index) = self
            .random
            .below(HELD as u32)
            .checked_rem(self.sockets.len() as u32)
        else {
            return;
        };
        let bound = self.sockets.swap_remove(index as usize);
        let call = Call {
            id: bound.id,
            ..self.call(Kind::Close, bound.protocol, bound.port, 1)
        };
        self.recorder.call(call, || {
            drop(bound.socket);
            (Answer::default(), None)
        });
    }
}

/// Of the socket's family.
fn loopback(socket: &OwnedFd) -> IpAddr {
    let domain = SockRef::from(socket).domain().expect("read SO_DOMAIN");
    match domain == Domain::IPV4 {
        true => Ipv4Addr::LOCALHOST.into(),
        false => Ipv6Addr::LOCALHOST.into(),
    }
}

/// Leaves a TIME_WAIT at [`LEFT`].
pub(crate) fn leave() {
    let listener = sock::tcp4();
    expect_ok(sock::bind_any(&listener, 0), "bind a listener");
    expect_ok(sock::listen(&listener), "listen");
    let client = sock::tcp4();
    sock::reuseaddr(&client, true);
    expect_ok(sock::bind_any(&client, LEFT), "bind over a TIME_WAIT");
    let to = sock::local_port(&listener);
    expect_ok(sock::connect(&client, Ipv4Addr::LOCALHOST, to), "connect");
    let mut server = expect_ok(sock::accept(&listener), "accept");
    drop(client);
    let end = server.read(&mut [0]).expect("the end of the connection");
    assert_eq!(end, 0);
}

/// How often the socket moves before it is closed.
const MOVES: u32 = 16;

/// Binds at [`LEFT`], connects and disconnects for a while, and closes, over and over again. Who
/// acquires has to see the socket wherever it is.
pub(crate) fn move_about(seed: u64, recorder: &Recorder) -> i32 {
    let mut work = Work {
        random: Random(seed | 1),
        recorder,
        blocks: Vec::new(),
        sockets: Vec::new(),
        next: 0,
    };
    while recorder.len() < MOVER_CALLS {
        let socket = work.socket(Protocol::Tcp);
        sock::reuseaddr(&socket, true);
        let call = work.call(Kind::Bind, Protocol::Tcp, LEFT, 1);
        let answer = recorder.call(call, || match sock::bind_any(&socket, LEFT) {
            Ok(()) => (Answer::default(), None),
            Err(errno) => (refused(&socket, errno), None),
        });
        if answer.errno != 0 {
            thread::yield_now();
            continue;
        }
        for _ in 0..work.random.below(MOVES) {
            if work.random.below(4) == 0 {
                let refused = sock::connect(&socket, loopback(&socket), NOBODY);
                assert_eq!(refused, Err(libc::ECONNREFUSED));
            }
            expect_ok(sock::disconnect(&socket), "connect to AF_UNSPEC");
        }
        work.sockets.push(BoundSocket {
            socket,
            protocol: Protocol::Tcp,
            port: LEFT,
            id: call.id,
        });
        while !work.sockets.is_empty() {
            work.close();
        }
    }
    0
}

/// Refused for a reason that is told, or by the kernel. A look may also be too long to tell.
fn refused(socket: &OwnedFd, errno: i32) -> Answer {
    let conflict = expect_ok(raw::conflict(socket), "read PORTKEEP_CONFLICT");
    let expected = match conflict.kind {
        raw::CONFLICT_CANNOT_TELL => libc::ENOBUFS,
        _ => libc::EADDRINUSE,
    };
    assert_eq!(errno, expected, "{}", errno_name(errno));
    Answer {
        errno: errno as u16,
        conflict: (conflict.kind, conflict.port, conflict.owner_pid),
        ..Answer::default()
    }
}
