//! Signals, read in order from a descriptor instead of handled.

use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use nix::sys::signal::{SigHandler, SigSet, SigmaskHow, Signal, pthread_sigmask, signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use serde::{Deserialize, Serialize};

use crate::error::{Context as _, Result};

/// The signal settings to restore before the command is executed.
#[derive(Debug, Clone, Copy)]
pub struct OriginalSignals {
    mask: SigSet,
    child: SigHandler,
}

impl OriginalSignals {
    /// Blocks every signal that a [`SignalQueue`] receives.
    pub fn block() -> Result<Self> {
        let mask = queued()
            .thread_swap_mask(SigmaskHow::SIG_BLOCK)
            .context("sigprocmask")?;
        // If our parent made us ignore SIGCHLD, children would disappear before we wait for them.
        // SAFETY: installs no handler.
        let child = unsafe { signal(Signal::SIGCHLD, SigHandler::SigDfl) }.context("sigaction")?;
        Ok(Self { mask, child })
    }

    /// Restores the signals. It runs between fork and exec, so it is async-signal-safe.
    pub fn restore(&self) -> nix::Result<()> {
        // SAFETY: restores a disposition that is not a handler of this process.
        unsafe { signal(Signal::SIGCHLD, self.child) }?;
        // Rust's runtime ignores SIGPIPE from the start, so the original disposition is unknown.
        // SAFETY: installs no handler.
        unsafe { signal(Signal::SIGPIPE, SigHandler::SigDfl) }?;
        pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&self.mask), None)
    }
}

/// All signals except those for faults of the process itself, which must not be blocked.
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
    /// The kernel: for the signals that we pass on, the terminal driver.
    Kernel,
    /// This process, with kill(2) or a similar call.
    Process(u32),
}

/// A signal that this process received.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceivedSignal {
    pub number: i32,
    pub sender: Sender,
}

/// The blocked signals as they arrive.
#[derive(Debug)]
pub struct SignalQueue(SignalFd);

impl SignalQueue {
    pub fn open() -> Result<Self> {
        SignalFd::with_flags(&queued(), SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
            .map(Self)
            .context("signalfd")
    }

    /// Takes every signal that has arrived, except those about children, which only say that there is
    /// something to wait for.
    pub fn take(&self) -> Result<Vec<ReceivedSignal>> {
        let mut taken = Vec::new();
        while let Some(info) = self.0.read_signal().context("signalfd")? {
            let sender = match info.ssi_code {
                libc::SI_KERNEL => Sender::Kernel,
                // sigaction(2): signals from processes have codes up to 0.
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
/// A signal to the whole group has already reached the command and must not be passed on: to many
/// programs a second SIGINT or SIGTERM means that they should give up at once. A receiver does not learn
/// who else got a signal. But the holder is in the group, too, so the signal went to the group if the
/// holder has the same one. The kernel serves the newest member of a group first, so the holder gets its
/// copy before the foreground process does. (If signals arrive faster than the holder reads them, copies
/// merge in one of the two processes, and the command may get one more or one less.)
#[derive(Debug, Default)]
pub struct GroupCopies(Vec<(ReceivedSignal, Instant)>);

/// How long a copy counts. The copies of one signal arrive a moment apart. With a longer lifetime, a signal
/// sent only to the holder could swallow a later one.
const LIFETIME: Duration = Duration::from_secs(1);

impl GroupCopies {
    /// Notes a signal that the holder received.
    pub fn note(&mut self, signal: ReceivedSignal) {
        self.0.retain(|(_, time)| time.elapsed() < LIFETIME);
        self.0.push((signal, Instant::now()));
    }

    /// Whether the holder received this signal, too. Each copy counts once.
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
