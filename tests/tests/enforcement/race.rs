//! A bind and an acquire of the same port at the same time: one of them is refused.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use portkeep_tests::proc::{Exit, fork_child};
use portkeep_tests::socket2::Socket;
use portkeep_tests::{Protocol, Sandbox, enable, raw, sock};

use crate::scene::{BOTH, START, socket4};

const ROUNDS: usize = 20_000;

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

fn run(protocol: Protocol) {
    let (start, end) = (StartingLine::default(), StartingLine::default());
    let (mut binds, mut acquires) = (0, 0);
    thread::scope(|scope| {
        let binder = scope.spawn(|| {
            (0..ROUNDS)
                .map(|round| {
                    let socket = socket4(protocol);
                    start.cross(round);
                    dawdle(round % 61);
                    let bound = sock::bind_any(&socket, START);
                    end.cross(round);
                    outcome(socket, bound)
                })
                .collect::<Vec<_>>()
        });
        let acquired: Vec<_> = (0..ROUNDS)
            .map(|round| {
                let socket = socket4(protocol);
                start.cross(round);
                dawdle(round % 127);
                let acquired = raw::acquire4(&socket, START, 1);
                end.cross(round);
                outcome(socket, acquired)
            })
            .collect();
        let bound = binder.join().expect("the thread that binds");
        for (bound, acquired) in bound.into_iter().zip(acquired) {
            assert!(!(bound && acquired), "the port is both bound and reserved");
            binds += usize::from(bound);
            acquires += usize::from(acquired);
        }
    });
    println!("{protocol:?}: {binds} binds and {acquires} acquires of {ROUNDS} came through");
}

/// Lets the calls meet at every point of each other.
fn dawdle(turns: usize) {
    for _ in 0..turns * 8 {
        std::hint::spin_loop();
    }
}

fn outcome(_socket: Socket, result: Result<(), i32>) -> bool {
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
