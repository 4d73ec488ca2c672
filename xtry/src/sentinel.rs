//! Tells signals sent to the process group from those sent to us alone.
//!
//! Those to the group have reached `portkeep run` and the command already, and many programs take a
//! second SIGINT as an order to give up at once. Nothing tells a receiver whom else a signal was sent
//! to. So another process of the group lets its signals lie, blocked: what lies there was sent to the
//! group. The kernel serves the newest member of a group first, so its copy is there before ours.

use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use nix::sys::prctl;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, Pid, fork, getppid};

/// The other process, which ends with this one.
#[derive(Debug)]
pub struct Sentinel {
    pid: Pid,
    questions: UnixStream,
}

/// It answers at once, unless somebody stops it.
const PATIENCE: Duration = Duration::from_secs(10);

impl Sentinel {
    /// Posts it; signals must be blocked already.
    pub fn post() -> anyhow::Result<Self> {
        let (questions, asked) = UnixStream::pair()?;
        questions.set_read_timeout(Some(PATIENCE))?;
        let parent = nix::unistd::getpid();
        // SAFETY: this process has one thread, so the child may do anything.
        match unsafe { fork() }? {
            ForkResult::Parent { child } => Ok(Self {
                pid: child,
                questions,
            }),
            ForkResult::Child => {
                drop(questions);
                watch(asked, parent);
                // SAFETY: ends the process without running what is the parent's to run.
                unsafe { libc::_exit(0) }
            }
        }
    }

    /// Whether the group was sent this signal; each copy answers once. The other process takes it away before it
    /// answers, lest it swallow the next one of its kind.
    pub fn has(&mut self, signal: i32) -> bool {
        self.ask(signal).unwrap_or(false)
    }

    fn ask(&mut self, signal: i32) -> io::Result<bool> {
        let signal = u8::try_from(signal).map_err(io::Error::other)?;
        self.questions.write_all(&[signal])?;
        let mut answer = [0];
        self.questions.read_exact(&mut answer)?;
        Ok(answer[0] == signal)
    }
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        let _ = kill(self.pid, Signal::SIGKILL);
        let _ = waitpid(self.pid, None);
    }
}

/// Takes a signal away whenever asked for it, and says whether it was there.
fn watch(mut asked: UnixStream, parent: Pid) {
    if prctl::set_pdeathsig(Signal::SIGKILL).is_err() || getppid() != parent {
        return;
    }
    for descriptor in 0..3 {
        // SAFETY: nothing in this process uses them any more.
        let _ = unsafe { libc::close(descriptor) };
    }
    let mut signal = [0];
    while asked.read_exact(&mut signal).is_ok() {
        let now = libc::timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        // SAFETY: the set is initialised before it is read; the information is not wanted.
        let taken = unsafe {
            let mut set = std::mem::zeroed();
            libc::sigemptyset(&raw mut set);
            libc::sigaddset(&raw mut set, signal[0].into());
            libc::sigtimedwait(&raw const set, std::ptr::null_mut(), &raw const now)
        };
        // 0 is no signal.
        if asked
            .write_all(&[u8::try_from(taken).unwrap_or(0)])
            .is_err()
        {
            return;
        }
    }
}
