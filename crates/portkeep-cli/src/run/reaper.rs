//! Waits for children.

use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::sync::{PoisonError, RwLock};

use nix::unistd::Pid;

/// The state of the children.
#[derive(Debug)]
pub enum Child {
    /// This child stopped, continued or ended.
    Changed(Pid, ExitStatus),
    /// There are children, and their states have not changed.
    Unchanged,
    /// There are none.
    None,
}

/// Held shared by threads that wait for a stop of a process that they trace: it may be a child, and the
/// reaper would take the news from them, wherever it waits for any.
static TRACING: RwLock<()> = RwLock::new(());

/// Keeps the reaper from taking news meanwhile.
#[cfg(target_arch = "x86_64")]
pub fn keep_out() -> std::sync::RwLockReadGuard<'static, ()> {
    TRACING.read().unwrap_or_else(PoisonError::into_inner)
}

/// Returns a change of a child's state, if there is one; does not wait.
///
/// The nix crate rejects children that a real-time signal ended.
pub fn next_change() -> io::Result<Child> {
    let mut status = 0;
    let _alone = TRACING.write().unwrap_or_else(PoisonError::into_inner);
    let options = libc::WNOHANG | libc::WUNTRACED | libc::WCONTINUED | libc::__WALL;
    // SAFETY: waitpid(2) writes the status, nothing else.
    match unsafe { libc::waitpid(-1, &raw mut status, options) } {
        0 => Ok(Child::Unchanged),
        -1 => match io::Error::last_os_error() {
            error if error.raw_os_error() == Some(libc::ECHILD) => Ok(Child::None),
            error => Err(error),
        },
        pid => Ok(Child::Changed(
            Pid::from_raw(pid),
            ExitStatus::from_raw(status),
        )),
    }
}

/// The exit code that shells use for a status.
pub fn exit_code(status: ExitStatus) -> Option<u8> {
    let code = status
        .code()
        .or_else(|| status.signal().map(|number| 128 + number))?;
    u8::try_from(code).ok()
}
