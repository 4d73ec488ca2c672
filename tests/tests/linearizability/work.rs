//! What each process does: few ports, so that everybody meets everybody.

use std::os::fd::OwnedFd;
use std::thread;

use portkeep_tests::{Protocol, errno_name, expect_ok, libc, raw, sock};

use crate::record::{Answer, Call, Kind, Recorder};

/// On both sides of a bound between two words of the bitmaps.
pub(crate) const FIRST: u16 = 61438;
pub(crate) const LAST: u16 = 61441;

/// Ports of a block that goes beyond those. To look for sockets, or to mark, takes long enough for others
/// to come between the first port and the last.
const MANY: u16 = 700;

/// That one process makes.
pub(crate) const CALLS: usize = 6000;

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

fn refused(socket: &OwnedFd, errno: i32) -> Answer {
    assert_eq!(errno, libc::EADDRINUSE, "{}", errno_name(errno));
    let conflict = expect_ok(raw::conflict(socket), "read PORTKEEP_CONFLICT");
    Answer {
        errno: errno as u16,
        conflict: (conflict.kind, conflict.port, conflict.owner_pid),
        ..Answer::default()
    }
}
