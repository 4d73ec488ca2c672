//! One round of a race: sockets of a reservation connect, the reservation ends or is cut, and
//! somebody else acquires its ports.

use std::ops::RangeInclusive;
use std::sync::Mutex;
use std::thread;

use portkeep_tests::raw::{self, Instance};
use portkeep_tests::socket2::Socket;
use portkeep_tests::{Protocol, assert_ok, errno_name, libc, sock};

use crate::line::{Line, dawdle};
use crate::scene::{CLOSED, Kind, socket4};

/// Connecting threads, each with a socket of its own.
pub(crate) const CONNECTORS: usize = 2;

/// How often the stranger asks in a round, unless it is granted.
const TRIES: usize = 40;

/// What a round ended with.
pub(crate) struct Outcome {
    /// Of the sockets that connected: 0, or the port that each is bound to.
    pub(crate) bound: Vec<u16>,
    /// The stranger's socket and reservation, if it was granted the range that it asked for.
    pub(crate) granted: Option<(Socket, Instance)>,
    _sockets: Vec<Socket>,
}

/// A race of so many rounds.
pub(crate) struct Race<'a> {
    pub(crate) kind: Kind,
    pub(crate) rounds: usize,
    /// Gives the sockets of a round, each associated with the reservation.
    pub(crate) begin: &'a (dyn Fn(usize) -> Vec<Socket> + Sync),
    /// Ends the reservation or a part of it, while the others run.
    pub(crate) end: &'a (dyn Fn(usize) + Sync),
    /// What the stranger asks for.
    pub(crate) wanted: &'a (dyn Fn(usize) -> RangeInclusive<u16> + Sync),
    /// Looks at what came of it, and clears up.
    pub(crate) check: &'a (dyn Fn(usize, &Outcome) + Sync),
}

/// How often what happened.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) bound: usize,
    pub(crate) ended: usize,
    pub(crate) granted: usize,
}

impl Race<'_> {
    /// Runs it in the calling process, whose threads all belong to the owner; who the stranger is
    /// makes no difference to an acquire.
    pub(crate) fn run(&self) -> Tally {
        let line = Line::of(CONNECTORS + 2);
        let slots: [Mutex<Option<Socket>>; CONNECTORS] = Default::default();
        let granted = Mutex::new(None);
        let mut tally = Tally::default();
        thread::scope(|scope| {
            for (index, slot) in slots.iter().enumerate() {
                let line = &line;
                scope.spawn(move || self.connect(line, index, slot));
            }
            scope.spawn(|| self.acquire(&line, &granted));
            let _guard = line.guard();
            for round in 0..self.rounds {
                for (slot, socket) in slots.iter().zip((self.begin)(round)) {
                    *slot.lock().expect("a slot") = Some(socket);
                }
                // At times before the others begin or when they are done, on a machine however busy.
                let when = round % 8;
                if when == 0 {
                    (self.end)(round);
                }
                line.cross(2 * round);
                dawdle(round % 89);
                if when > 1 {
                    (self.end)(round);
                }
                line.cross(2 * round + 1);
                if when == 1 {
                    (self.end)(round);
                }
                let sockets: Vec<_> = slots
                    .iter()
                    .filter_map(|slot| slot.lock().expect("a slot").take())
                    .collect();
                let outcome = Outcome {
                    bound: sockets.iter().map(sock::local_port).collect(),
                    granted: granted.lock().expect("the grant").take(),
                    _sockets: sockets,
                };
                self.assert_apart(round, &outcome);
                tally.add(&outcome);
                (self.check)(round, &outcome);
            }
        });
        tally
    }

    fn connect(&self, line: &Line, index: usize, slot: &Mutex<Option<Socket>>) {
        let _guard = line.guard();
        for round in 0..self.rounds {
            line.cross(2 * round);
            let socket = slot.lock().expect("a slot").take().expect("a socket");
            dawdle(round % (61 + 36 * index));
            let connected = self.kind.connect(&socket, CLOSED);
            let bound = sock::local_port(&socket) != 0;
            match connected {
                Ok(()) | Err(libc::ECONNREFUSED) => assert!(bound),
                Err(libc::EADDRNOTAVAIL | libc::EADDRINUSE) => assert!(!bound),
                Err(errno) => panic!("connect: {}", errno_name(errno)),
            }
            *slot.lock().expect("a slot") = Some(socket);
            line.cross(2 * round + 1);
        }
    }

    fn acquire(&self, line: &Line, granted: &Mutex<Option<(Socket, Instance)>>) {
        let _guard = line.guard();
        for round in 0..self.rounds {
            let (socket, wanted) = (socket4(self.kind.protocol), (self.wanted)(round));
            let count = wanted.end() - wanted.start() + 1;
            line.cross(2 * round);
            let mut answer = Err(libc::EADDRINUSE);
            for _ in 0..TRIES {
                answer = raw::acquire4(&socket, *wanted.start(), count);
                if answer != Err(libc::EADDRINUSE) {
                    break;
                }
            }
            match answer {
                Ok(()) => {
                    let block = assert_ok!(raw::instance(&socket));
                    *granted.lock().expect("the grant") = Some((socket, block));
                }
                Err(libc::EADDRINUSE) => {}
                Err(errno) => panic!("acquire: {}", errno_name(errno)),
            }
            line.cross(2 * round + 1);
        }
    }

    fn assert_apart(&self, round: usize, outcome: &Outcome) {
        let Some((_, block)) = &outcome.granted else {
            return;
        };
        let wanted = (self.wanted)(round);
        for port in &outcome.bound {
            assert!(
                !wanted.contains(port),
                "round {round}: bound to {port}, and {wanted:?} was granted"
            );
        }
        assert_eq!(block.start, *wanted.start());
    }
}

impl Tally {
    fn add(&mut self, outcome: &Outcome) {
        let bound = outcome.bound.iter().filter(|&&port| port != 0).count();
        self.bound += bound;
        self.ended += outcome.bound.len() - bound;
        self.granted += usize::from(outcome.granted.is_some());
    }

    /// Asserts that the calls met at different points of each other.
    pub(crate) fn assert_mixed(&self, protocol: Protocol) {
        println!("{protocol:?}: {self:?}");
        assert!(
            self.bound > 0 && self.ended > 0 && self.granted > 0,
            "{protocol:?}: {self:?}"
        );
    }
}
