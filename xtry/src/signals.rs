//! Signals taken from a descriptor; children get what was set before.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use nix::sys::signal::{SigHandler, SigSet, SigmaskHow, Signal, pthread_sigmask, signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

/// All signals, blocked.
#[derive(Debug)]
pub struct Signals {
    queue: SignalFd,
    mask: SigSet,
    child: SigHandler,
}

impl Signals {
    pub fn block() -> nix::Result<Self> {
        let mut all = SigSet::all();
        // These tell a process of its own faults.
        for fault in [
            Signal::SIGABRT,
            Signal::SIGBUS,
            Signal::SIGFPE,
            Signal::SIGILL,
            Signal::SIGSEGV,
        ] {
            all.remove(fault);
        }
        let mask = all.thread_swap_mask(SigmaskHow::SIG_BLOCK)?;
        // SAFETY: installs no handler.
        let child = unsafe { signal(Signal::SIGCHLD, SigHandler::SigDfl) }?;
        let queue = SignalFd::with_flags(&all, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
        Ok(Self { queue, mask, child })
    }

    /// The next one that has come, and whether the kernel sent it, as it does for a terminal.
    pub fn take(&self) -> nix::Result<Option<(i32, bool)>> {
        let signal = self.queue.read_signal()?;
        Ok(signal.map(|it| (it.ssi_signo.cast_signed(), it.ssi_code == libc::SI_KERNEL)))
    }

    /// Puts back what was set before, for an exec.
    pub fn restore(&self) -> nix::Result<()> {
        restore(self.child, &self.mask)
    }

    /// Does so in a child, before its exec.
    pub fn restore_in(&self, command: &mut Command) {
        let (child, mask) = (self.child, self.mask);
        let restore = move || restore(child, &mask).map_err(io::Error::from);
        // SAFETY: the closure makes two system calls and allocates nothing.
        unsafe { command.pre_exec(restore) };
    }
}

fn restore(child: SigHandler, mask: &SigSet) -> nix::Result<()> {
    // SAFETY: installs no handler; what is put back was there before.
    unsafe { signal(Signal::SIGCHLD, child) }?;
    pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(mask), None)
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.queue.as_fd()
    }
}
