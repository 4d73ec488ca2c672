//! Tells signals sent to the process group from those sent to us alone.
//!
//! Those to the group have reached `portkeep run` and the command already, and many programs take a
//! second SIGINT as an order to give up at once. Nothing tells a receiver whom else a signal was sent
//! to. So another process of the group lets its signals lie, blocked: what lies there was sent to the
//! group. The kernel serves the newest member of a group first, so its copy is there before ours.

use std::fs;
use std::io::{PipeReader, PipeWriter, Read as _, Write as _, pipe};

use nix::sys::prctl;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, Pid, fork, getppid};

/// The other process, which ends with this one.
#[derive(Debug)]
pub struct Sentinel {
    pid: Pid,
    orders: PipeWriter,
}

impl Sentinel {
    /// Posts it; signals must be blocked already.
    pub fn post() -> anyhow::Result<Self> {
        let (reader, orders) = pipe()?;
        let parent = nix::unistd::getpid();
        // SAFETY: this process has one thread, so the child may do anything.
        match unsafe { fork() }? {
            ForkResult::Parent { child } => Ok(Self { pid: child, orders }),
            ForkResult::Child => {
                drop(orders);
                watch(reader, parent);
                // SAFETY: ends the process without running what is the parent's to run.
                unsafe { libc::_exit(0) }
            }
        }
    }

    /// Whether the group was sent this signal; each copy answers once.
    pub fn has(&mut self, signal: i32) -> bool {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid)).unwrap_or_default();
        let pending = status
            .lines()
            .find_map(|line| line.strip_prefix("ShdPnd:"))
            .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
        let has = pending.is_some_and(|mask| mask & (1 << (signal - 1)) != 0);
        if has {
            let order = u8::try_from(signal).expect("a signal below 65");
            let _ = self.orders.write_all(&[order]);
        }
        has
    }
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        let _ = kill(self.pid, Signal::SIGKILL);
        let _ = waitpid(self.pid, None);
    }
}

/// Takes away a signal whenever ordered to.
fn watch(mut orders: PipeReader, parent: Pid) {
    if prctl::set_pdeathsig(Signal::SIGKILL).is_err() || getppid() != parent {
        return;
    }
    for descriptor in 0..3 {
        // SAFETY: nothing in this process uses them any more.
        let _ = unsafe { libc::close(descriptor) };
    }
    let mut signal = [0];
    while orders.read_exact(&mut signal).is_ok() {
        let now = libc::timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        // SAFETY: the set is initialised before it is read; the information is not wanted.
        unsafe {
            let mut set = std::mem::zeroed();
            libc::sigemptyset(&raw mut set);
            libc::sigaddset(&raw mut set, signal[0].into());
            libc::sigtimedwait(&raw const set, std::ptr::null_mut(), &raw const now);
        }
    }
}
