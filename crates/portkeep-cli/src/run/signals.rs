//! Signals taken in order from a descriptor instead of in handlers.

use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use nix::sys::signal::{SigHandler, SigSet, SigmaskHow, Signal, pthread_sigmask, signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use serde::{Deserialize, Serialize};

use crate::error::{Context as _, Result};

/// What is to be put back before the command is executed.
#[derive(Debug, Clone, Copy)]
pub struct OriginalSignals {
    mask: SigSet,
    child: SigHandler,
}

impl OriginalSignals {
    /// Blocks every signal that may be taken from a [`SignalQueue`].
    pub fn block() -> Result<Self> {
        let mask = queued()
            .thread_swap_mask(SigmaskHow::SIG_BLOCK)
            .context("sigprocmask")?;
        // A parent may have had us ignore SIGCHLD; children would then vanish unwaited for.
        // SAFETY: installs no handler.
        let child = unsafe { signal(Signal::SIGCHLD, SigHandler::SigDfl) }.context("sigaction")?;
        Ok(Self { mask, child })
    }

    /// Puts the signals back; to be called between fork and exec, so async-signal-safe.
    pub fn restore(&self) -> nix::Result<()> {
        // SAFETY: installs no handler; what is put back was there before.
        unsafe { signal(Signal::SIGCHLD, self.child) }?;
        // Rust's runtime ignores SIGPIPE from the start, so what it was before is not known.
        // SAFETY: installs no handler.
        unsafe { signal(Signal::SIGPIPE, SigHandler::SigDfl) }?;
        pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&self.mask), None)
    }
}

/// All signals but those that tell a process of its own faults, which must not be held back.
fn queued() -> SigSet {
    let mut signals = SigSet::all();
    for fault in [
        Signal::SIGABRT,
        Signal::SIGBUS,
        Signal::SIGFPE,
        Signal::SIGILL,
        Signal::SIGSEGV,
        Signal::SIGSYS,
        Signal::SIGTRAP,
    ] {
        signals.remove(fault);
    }
    signals
}

/// Who sent a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Sender {
    /// The kernel; for the signals we pass on, the terminal driver.
    Kernel,
    /// This process, by kill(2) or one of its kin.
    Process(u32),
}

/// A signal that this process got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceivedSignal {
    pub number: i32,
    pub sender: Sender,
}

/// The signals that are blocked, as they come.
#[derive(Debug)]
pub struct SignalQueue(SignalFd);

impl SignalQueue {
    pub fn open() -> Result<Self> {
        SignalFd::with_flags(&queued(), SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
            .map(Self)
            .context("signalfd")
    }

    /// Takes every signal that has come. Those that tell of children are left out: their only
    /// message is that something is to be waited for.
    pub fn take(&self) -> Result<Vec<ReceivedSignal>> {
        let mut taken = Vec::new();
        while let Some(info) = self.0.read_signal().context("signalfd")? {
            let sender = match info.ssi_code {
                libc::SI_KERNEL => Sender::Kernel,
                // sigaction(2): codes up to 0 are those of signals that a process sent.
                ..=0 => Sender::Process(info.ssi_pid),
                _ => continue,
            };
            taken.push(ReceivedSignal {
                number: info.ssi_signo as i32,
                sender,
            });
        }
        Ok(taken)
    }
}

impl AsFd for SignalQueue {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

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

/// Whether this process ignores a signal.
pub fn is_ignored(signal: Signal) -> bool {
    let mut action = std::mem::MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: with no new action sigaction(2) only writes the present one.
    let result = unsafe { libc::sigaction(signal as i32, std::ptr::null(), action.as_mut_ptr()) };
    // SAFETY: all bits zero is a valid `sigaction`, and the call may have filled it in.
    let action = unsafe { action.assume_init() };
    result == 0 && action.sa_sigaction == libc::SIG_IGN
}
