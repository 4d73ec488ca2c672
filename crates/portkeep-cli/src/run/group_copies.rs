//! Tells signals sent to the process group from those sent to one process.

use std::time::{Duration, Instant};

use crate::run::signals::ReceivedSignal;

/// The holder's own copies of signals.
///
/// A signal sent to the whole group has reached the command already and must
/// not be passed on as well: many programs take a second SIGINT or SIGTERM as
/// an order to give up at once. The receiver is not told whom else a signal was
/// sent to; but the holder is in the group too, so the foreground process's
/// signal went to the group if the holder has one just like it. The kernel
/// serves the newest member of a group first, so the holder's copy is there
/// before the foreground process's. (Where the sender is faster than the holder
/// can take its signals, copies merge in one of the two processes, as pending
/// signals do, and the command may get one more or one less.)
#[derive(Debug, Default)]
pub struct GroupCopies(Vec<(ReceivedSignal, Instant)>);

/// How long a copy counts. The copies of one signal are a moment apart; a longer life would let a
/// signal that only the holder was sent swallow a later one.
const LIFETIME: Duration = Duration::from_secs(1);

impl GroupCopies {
    /// Notes a signal that the holder got.
    pub fn note(&mut self, signal: ReceivedSignal) {
        self.0.retain(|(_, time)| time.elapsed() < LIFETIME);
        self.0.push((signal, Instant::now()));
    }

    /// Whether the holder got this signal too; each copy answers once.
    pub fn take(&mut self, signal: ReceivedSignal) -> bool {
        self.0.retain(|(_, time)| time.elapsed() < LIFETIME);
        let position = self.0.iter().position(|(noted, _)| *noted == signal);
        position.map(|index| self.0.swap_remove(index)).is_some()
    }
}
