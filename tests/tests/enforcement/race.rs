//! A bind and an acquire of the same port at the same time: one of them is refused.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use portkeep_tests::proc::{Exit, fork_child};
use portkeep_tests::socket2::Socket;
use portkeep_tests::{Protocol, Sandbox, enable, raw, sock};

use crate::scene::{BOTH, START, socket4};

const ROUNDS: usize = 10_000;
/// Each side comes through as often at least, if it takes more rounds.
const WINS: usize = 500;
const ROUNDS_MAX: usize = 100 * ROUNDS;

/// Lets two threads begin each round together, without a system call that would keep them apart.
#[derive(Default)]
struct StartingLine(AtomicUsize);

impl StartingLine {
    fn cross(&self, round: usize) {
        self.0.fetch_add(1, Ordering::SeqCst);
        let mut turns = 0_u32;
        while self.0.load(Ordering::SeqCst) < 2 * (round + 1) {
            turns += 1;
            // The other thread may have no CPU.
            if turns.is_multiple_of(1 << 12) {
                thread::yield_now();
            }
            std::hint::spin_loop();
        }
    }
}

/// One side's view of the race; both count the same.
struct Race {
    start: StartingLine,
    end: StartingLine,
    won: [AtomicBool; 2],
}

const BINDER: usize = 0;
const ACQUIRER: usize = 1;

impl Race {
    /// Makes one side's call round by round, until both have come through often enough; gives how
    /// often each has.
    fn contest(
        &self,
        side: usize,
        protocol: Protocol,
        call: impl Fn(&Socket) -> Result<(), i32>,
    ) -> [usize; 2] {
        let mut wins = [0; 2];
        // By how much the binder starts later, if above 0, or the acquirer. The side that has won waits
        // longer: so the calls keep meeting, whatever the machine does to either of them.
        let mut handicap = 0_isize;
        for round in 0..ROUNDS_MAX {
            if round >= ROUNDS && wins.iter().all(|&wins| wins >= WINS) {
                break;
            }
            let socket = socket4(protocol);
            let own = if side == BINDER { handicap } else { -handicap };
            self.start.cross(round);
            dawdle(round % [61, 127][side] + own.max(0).unsigned_abs());
            let won = outcome(call(&socket));
            self.won[side].store(won, Ordering::SeqCst);
            self.end.cross(round);
            let won = [BINDER, ACQUIRER].map(|side| self.won[side].load(Ordering::SeqCst));
            assert!(won != [true; 2], "the port is both bound and reserved");
            for side in [BINDER, ACQUIRER] {
                wins[side] += usize::from(won[side]);
            }
            handicap += isize::from(won[BINDER]) - isize::from(won[ACQUIRER]);
        }
        wins
    }
}

fn run(protocol: Protocol) {
    let race = Race {
        start: StartingLine::default(),
        end: StartingLine::default(),
        won: [false; 2].map(AtomicBool::new),
    };
    let wins = thread::scope(|scope| {
        let bind = |socket: &Socket| sock::bind_any(socket, START);
        let acquire = |socket: &Socket| raw::acquire4(socket, START, 1);
        let binder = scope.spawn({
            let race = &race;
            move || race.contest(BINDER, protocol, bind)
        });
        let wins = race.contest(ACQUIRER, protocol, acquire);
        assert_eq!(binder.join().expect("the thread that binds"), wins);
        wins
    });
    assert!(
        wins.iter().all(|&wins| wins >= WINS),
        "{protocol:?}: binds and acquires that came through: {wins:?}"
    );
}

/// Lets the calls meet at every point of each other.
fn dawdle(turns: usize) {
    for _ in 0..turns * 8 {
        std::hint::spin_loop();
    }
}

fn outcome(result: Result<(), i32>) -> bool {
    match result {
        Ok(()) => true,
        Err(libc::EADDRINUSE) => false,
        Err(errno) => panic!("refused with {}", portkeep_tests::errno_name(errno)),
    }
}

pub(crate) fn a_port_is_never_both_bound_and_reserved(sandbox: &Sandbox) {
    enable::enable(sandbox);
    for protocol in BOTH {
        let child = fork_child(|| {
            run(protocol);
            0
        });
        assert_eq!(child.wait(), Exit::Code(0));
    }
}
