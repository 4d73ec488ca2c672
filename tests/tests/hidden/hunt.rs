//! The hunt: this process acquires a port over and over, while a stranger's socket is bound to it
//! and moves between the kernel's lists of bound sockets. It must never be granted.

use std::thread;
use std::time::{Duration, Instant};

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;
use portkeep_tests::proc::{self, Child};
use portkeep_tests::socket2::Socket;
use portkeep_tests::{Event, Protocol, assert_ok, errno_name, libc, raw, sock};

use crate::shared::Shared;

/// The port that everybody is after.
pub(crate) const PORT: u16 = 10100;

/// The user whose socket has it.
const MOVER: u32 = 65534;

/// So often at least the socket moves while its port is acquired.
const MOVES: u64 = 1000;

/// Which of two processors a process is pinned to; nowhere on a machine with one.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Cpu {
    Any,
    First,
    Second,
}

#[derive(Clone, Copy)]
pub(crate) struct Hunt {
    protocol: Protocol,
    acquires: u32,
    movers: usize,
    cpus: (Cpu, Cpu), // of the acquirer and of the movers
}

impl Hunt {
    pub(crate) fn new(protocol: Protocol, acquires: u32) -> Self {
        Self {
            protocol,
            acquires,
            movers: 1,
            cpus: (Cpu::Any, Cpu::Any),
        }
    }

    /// So many processes share the sockets.
    pub(crate) fn movers(self, movers: usize) -> Self {
        Self { movers, ..self }
    }

    pub(crate) fn pinned(self, acquirer: Cpu, movers: Cpu) -> Self {
        Self {
            cpus: (acquirer, movers),
            ..self
        }
    }

    /// Lets a stranger's process prepare its sockets, and then make one move after the other, from
    /// as many processes as there are movers; a move gets the mover's number. Panics if the port is
    /// granted meanwhile, or is not once they have gone.
    #[track_caller]
    pub(crate) fn run<M: FnMut(usize)>(self, what: &str, prepare: impl FnOnce() -> M) {
        let (ready, moves, over) = (Event::new(), Shared::new(), Shared::new());
        let stranger = proc::fork_child(|| {
            proc::drop_privileges(MOVER, MOVER);
            let mut step = prepare();
            pin(self.cpus.1);
            let mut go = |mover| {
                while over.get() == 0 {
                    step(mover);
                    moves.add_one();
                }
                0
            };
            let others: Vec<Child> = (1..self.movers)
                .map(|mover| proc::fork_child(|| go(mover)))
                .collect();
            ready.set();
            go(0) + others.into_iter().map(Child::code).sum::<i32>()
        });
        ready.wait();
        let before = pin(self.cpus.0);
        let cannot_tell = self.acquire_until_both_had_enough(what, moves);
        over.set(1);
        sched_setaffinity(Pid::from_raw(0), &before).expect("restore the affinity");
        assert_eq!(stranger.code(), 0, "{what}");
        println!(
            "{what}: {} acquires, {cannot_tell} without an answer, {} moves",
            self.acquires,
            moves.get()
        );
        assert_granted_soon(self.protocol, what);
    }

    #[track_caller]
    fn acquire_until_both_had_enough(self, what: &str, moves: Shared) -> u32 {
        let socket = socket4(self.protocol);
        let (first, mut done, mut cannot_tell) = (moves.get(), 0, 0);
        while done < self.acquires || moves.get() < first + MOVES {
            let answer = raw::acquire4(&socket, PORT, 1);
            done += 1;
            cannot_tell += u32::from(check(self.protocol, &socket, answer, || {
                format!("{what}: {done} acquires, {} moves", moves.get() - first)
            }));
        }
        cannot_tell
    }
}

/// Checks a refusal, and returns whether the kernel part could not tell.
#[track_caller]
fn check(
    protocol: Protocol,
    socket: &Socket,
    answer: Result<(), i32>,
    what: impl Fn() -> String,
) -> bool {
    let conflict = assert_ok!(raw::conflict(socket));
    let kind = match answer {
        Ok(()) => panic!("granted over a live socket: {}", what()),
        Err(libc::EADDRINUSE) => raw::CONFLICT_IN_USE,
        Err(libc::ENOBUFS) => raw::CONFLICT_CANNOT_TELL,
        Err(errno) => panic!("refused with {}: {}", errno_name(errno), what()),
    };
    let number = match protocol {
        Protocol::Tcp => libc::IPPROTO_TCP,
        Protocol::Udp => libc::IPPROTO_UDP,
    };
    assert_eq!(
        (conflict.kind, conflict.port, i32::from(conflict.protocol)),
        (kind, PORT, number),
        "{}",
        what()
    );
    // A socket that was only told of is anybody's.
    assert!([0, MOVER].contains(&conflict.owner_uid), "{conflict:?}");
    kind == raw::CONFLICT_CANNOT_TELL
}

/// Asserts that the port is granted when all that was bound there has gone; a connection may have
/// to exchange its last segments.
#[track_caller]
pub(crate) fn assert_granted_soon(protocol: Protocol, what: &str) {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let socket = socket4(protocol);
        match raw::acquire4(&socket, PORT, 1) {
            Ok(()) => return,
            Err(libc::EADDRINUSE) if Instant::now() < deadline => {
                thread::sleep(Duration::from_millis(1));
            }
            Err(errno) => panic!("{what}: {} though nothing is left", errno_name(errno)),
        }
    }
}

fn socket4(protocol: Protocol) -> Socket {
    match protocol {
        Protocol::Tcp => sock::tcp4(),
        Protocol::Udp => sock::udp4(),
    }
}

/// Pins this process, and returns where it could run before.
fn pin(cpu: Cpu) -> CpuSet {
    let before = sched_getaffinity(Pid::from_raw(0)).expect("sched_getaffinity");
    let mut cpus = (0..CpuSet::count()).filter(|&cpu| before.is_set(cpu) == Ok(true));
    let (first, second) = (cpus.next(), cpus.next());
    if let (Some(first), Some(second), false) = (first, second, cpu == Cpu::Any) {
        let mut one = CpuSet::new();
        let number = if cpu == Cpu::First { first } else { second };
        one.set(number).expect("a processor");
        sched_setaffinity(Pid::from_raw(0), &one).expect("sched_setaffinity");
    }
    before
}
