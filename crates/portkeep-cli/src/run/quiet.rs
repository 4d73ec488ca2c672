//! Times in which nobody is told of stops.

use std::sync::{Mutex, PoisonError};

use nix::sys::signal::{Signal, kill};
use nix::unistd::getpid;

/// A time in which the kernel sends no SIGCHLD for stops: one for every stop of a thread that is traced
/// would wake the reaper five times a bind.
#[derive(Debug)]
pub struct Quiet(());

/// How many of them there are now.
static QUIET: Mutex<usize> = Mutex::new(0);

impl Quiet {
    pub fn begin() -> Self {
        let mut count = QUIET.lock().unwrap_or_else(PoisonError::into_inner);
        if *count == 0 {
            tell_of_stops(false);
        }
        *count += 1;
        Self(())
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        let mut count = QUIET.lock().unwrap_or_else(PoisonError::into_inner);
        *count -= 1;
        if *count == 0 {
            tell_of_stops(true);
            // The command may have been stopped or continued meanwhile (Ctrl-Z). Nobody is traced now.
            if has_stopped_or_continued() {
                let _ = kill(getpid(), Signal::SIGCHLD);
            }
        }
    }
}

fn tell_of_stops(so: bool) {
    extern "C" fn nothing(_: libc::c_int) {}
    // SAFETY: all bits zero is a valid `sigaction`.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    // It never runs, for the signal is blocked. Setting the default action would discard one that is pending.
    action.sa_sigaction = nothing as extern "C" fn(libc::c_int) as libc::sighandler_t;
    action.sa_flags = match so {
        true => 0,
        false => libc::SA_NOCLDSTOP,
    };
    // SAFETY: the handler does nothing.
    unsafe { libc::sigaction(libc::SIGCHLD, &raw const action, std::ptr::null_mut()) };
}

fn has_stopped_or_continued() -> bool {
    let options = libc::WSTOPPED | libc::WCONTINUED | libc::WNOHANG | libc::WNOWAIT | libc::__WALL;
    // SAFETY: integers and pointers that nobody follows.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel writes the information, nothing else.
    let result = unsafe { libc::waitid(libc::P_ALL, 0, &raw mut info, options) };
    // Without news it has no signal.
    result == 0 && info.si_signo != 0
}
