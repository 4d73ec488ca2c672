//! What a process did, written down call by call in memory that it shares with the trial: so nothing
//! is lost when it is killed.

use std::ptr::NonNull;
use std::slice;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use portkeep_tests::{Protocol, libc};

use crate::work::CALLS;

/// What was called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Acquire,
    /// Also by closing the acquiring socket.
    Release,
    Bind,
    /// By a socket that is associated with the process's own reservation.
    BindAssociated,
    /// `connect()` of such a socket, which is not bound: of a port of the block.
    Connect,
    Close,
}

const KINDS: [Kind; 6] = [
    Kind::Acquire,
    Kind::Release,
    Kind::Bind,
    Kind::BindAssociated,
    Kind::Connect,
    Kind::Close,
];

/// One call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call {
    pub(crate) kind: Kind,
    pub(crate) protocol: Protocol,
    /// 0 for a wildcard that was not granted.
    pub(crate) start: u16,
    pub(crate) wildcard: bool,
    pub(crate) count: u16,
    /// Of the reservation or the bound socket; unique in its process.
    pub(crate) id: u32,
    /// Nanoseconds.
    pub(crate) invoked: u64,
    /// `None` if the process was killed before it returned.
    pub(crate) answer: Option<Answer>,
}

/// What came of it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Answer {
    pub(crate) responded: u64,
    pub(crate) errno: u16,
    /// The kind, port and process of `PORTKEEP_CONFLICT` after a refusal.
    pub(crate) conflict: (u8, u16, u32),
}

const WORDS: usize = 5;

/// The memory, for [`CALLS`] calls.
#[derive(Debug)]
pub(crate) struct Recorder {
    /// The number of calls, then their words.
    words: &'static [AtomicU64],
    began: Instant,
}

impl Recorder {
    pub(crate) fn new() -> Recorder {
        let count = 1 + CALLS * WORDS;
        // SAFETY: an anonymous mapping at an address that the kernel chooses.
        let address = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                count * size_of::<AtomicU64>(),
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        assert_ne!(address, libc::MAP_FAILED, "mmap");
        let address = NonNull::new(address.cast::<AtomicU64>()).expect("a mapping is not at 0");
        // SAFETY: the mapping is that long, zeroed, aligned to a page, and unmapped only by drop(),
        // after which nothing can reach it.
        let words = unsafe { slice::from_raw_parts(address.as_ptr(), count) };
        Recorder {
            words,
            began: start(),
        }
    }

    /// `CLOCK_MONOTONIC`, which all CPUs have in common.
    pub(crate) fn now(&self) -> u64 {
        self.began.elapsed().as_nanos() as u64
    }

    pub(crate) fn len(&self) -> usize {
        self.words[0].load(Ordering::SeqCst) as usize
    }

    fn words_of(&self, index: usize) -> &[AtomicU64] {
        &self.words[1 + index * WORDS..][..WORDS]
    }

    /// Makes a call and writes down what it is before, and what came of it after. The call may
    /// tell a start that was not known before.
    pub(crate) fn call(
        &self,
        mut call: Call,
        make: impl FnOnce() -> (Answer, Option<u16>),
    ) -> Answer {
        let index = self.len();
        let words = self.words_of(index);
        call.invoked = self.now();
        self.write_what(words, &call);
        words[1].store(call.invoked, Ordering::SeqCst);
        self.words[0].store(index as u64 + 1, Ordering::SeqCst);
        let (mut answer, start) = make();
        answer.responded = self.now();
        if let Some(start) = start {
            call.start = start;
            self.write_what(words, &call);
        }
        let (kind, port, pid) = answer.conflict;
        let conflict = u64::from(kind) | u64::from(port) << 16 | u64::from(pid) << 32;
        words[3].store(conflict, Ordering::SeqCst);
        words[4].store(u64::from(answer.errno), Ordering::SeqCst);
        words[2].store(answer.responded, Ordering::SeqCst);
        answer
    }

    fn write_what(&self, words: &[AtomicU64], call: &Call) {
        let kind = KINDS.iter().position(|it| *it == call.kind).unwrap_or(0);
        let udp = u64::from(call.protocol == Protocol::Udp);
        let what = kind as u64
            | udp << 4
            | u64::from(call.wildcard) << 5
            | u64::from(call.id) << 8
            | u64::from(call.count) << 32
            | u64::from(call.start) << 48;
        words[0].store(what, Ordering::SeqCst);
    }

    pub(crate) fn calls(&self) -> Vec<Call> {
        (0..self.len()).map(|index| self.read(index)).collect()
    }

    fn read(&self, index: usize) -> Call {
        let words = self.words_of(index);
        let word = |index: usize| words[index].load(Ordering::SeqCst);
        let (what, responded, conflict) = (word(0), word(2), word(3));
        Call {
            kind: KINDS[(what & 15) as usize],
            protocol: [Protocol::Tcp, Protocol::Udp][(what >> 4 & 1) as usize],
            wildcard: what >> 5 & 1 != 0,
            id: what as u32 >> 8,
            count: (what >> 32) as u16,
            start: (what >> 48) as u16,
            invoked: word(1),
            answer: (responded != 0).then_some(Answer {
                responded,
                errno: word(4) as u16,
                conflict: (
                    conflict as u8,
                    (conflict >> 16) as u16,
                    (conflict >> 32) as u32,
                ),
            }),
        }
    }
}

/// The same for all recorders.
fn start() -> Instant {
    use std::sync::OnceLock;
    static START: OnceLock<Instant> = OnceLock::new();
    *START.get_or_init(Instant::now)
}

impl Drop for Recorder {
    fn drop(&mut self) {
        // SAFETY: the mapping that new() made, of that length; nothing else refers to it.
        unsafe {
            libc::munmap(
                self.words.as_ptr().cast_mut().cast(),
                size_of_val(self.words),
            )
        };
    }
}
