//! How the holder gets at the sockets of the command.

mod getfd;
mod replaced;

#[cfg(target_arch = "x86_64")]
mod registers;
#[cfg(target_arch = "x86_64")]
mod thread;
#[cfg(target_arch = "x86_64")]
mod traced;
#[cfg(not(target_arch = "x86_64"))]
#[path = "untraced.rs"]
mod traced;

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use nix::errno::Errno;

use crate::run::supervisor::notification::{Listener, Notification};
use crate::run::supervisor::options::Options;
use crate::run::supervisor::process;

#[cfg(target_arch = "x86_64")]
pub use thread::{Seized, Stopped};
#[cfg(not(target_arch = "x86_64"))]
pub use traced::{Seized, Stopped};

pub use getfd::is_allowed as can_copy;
pub use replaced::Replacement;

use traced::Fetched;

/// The ways, the best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// By a copy of the socket, pidfd_getfd(2).
    Copy,
    /// By a copy that the thread itself is made to send, ptrace(2).
    Trace,
    /// By a new socket in the place of the one that cannot be had.
    Replace,
    /// By a library that its programs load, for those who ask.
    Preload,
}

impl Way {
    /// What it is and what it does not keep.
    pub fn explain(self) -> &'static str {
        match self {
            Self::Copy => "by copies of its sockets (pidfd_getfd)",
            Self::Trace => {
                "by ptrace, because pidfd_getfd is forbidden here: a thread that binds is stopped for a moment; \
                 for a program under a debugger or with a seccomp filter of its own a new socket takes the \
                 place of its own"
            }
            Self::Replace => {
                "by new sockets in the place of its own, because pidfd_getfd and ptrace are forbidden here: \
                 they keep the options that matter to a bind, and no others; duplicates and epoll \
                 registrations made before the bind stay with the old socket"
            }
            Self::Preload => {
                "by a library that its programs load, because of --preload: static programs, and those that \
                 gain privileges, cannot bind to the ports"
            }
        }
    }
}

/// A socket of a caller within reach.
#[derive(Debug)]
pub enum Reached {
    /// The call waits for its answer.
    Copy(OwnedFd),
    /// The call has been answered; its thread is stopped.
    Sent(Stopped, OwnedFd),
    /// The call waits, and has another socket still. Its thread may be traced, until it has its answer.
    New(Replacement, Option<Seized>),
}

/// What reaching for a socket came to.
#[derive(Debug)]
pub enum Reach {
    Socket(Reached),
    /// The call waits for its answer. Its thread may be traced, until it has it.
    Nothing(Errno, Option<Seized>),
    /// The thread is stopped, and the socket is not to be had in this way.
    Stopped(Stopped),
    /// There is no call any more.
    Gone,
}

impl Reached {
    /// The socket that is to be bound.
    pub fn socket(&self) -> BorrowedFd<'_> {
        match self {
            Self::Copy(socket) | Self::Sent(_, socket) => socket.as_fd(),
            Self::New(replacement, _) => replacement.socket.as_fd(),
        }
    }
}

/// A copy of the caller's socket.
pub fn copy(caller: &Notification, number: i32) -> Reach {
    let copy = getfd::Target::open(caller.pid).and_then(|target| target.descriptor(number));
    match copy {
        Ok(socket) => Reach::Socket(Reached::Copy(socket)),
        Err(error) => Reach::Nothing(error, None),
    }
}

/// A copy that the caller sends; or else a new socket, if there are `options` of those noted.
pub fn trace(
    listener: &Listener,
    caller: &Notification,
    number: i32,
    options: Option<&Options>,
) -> Reach {
    match traced::fetch(listener, caller, number) {
        Fetched::Copy(stopped, socket) => Reach::Socket(Reached::Sent(stopped, socket)),
        // It is the errno that its own bind would give it.
        Fetched::Refused(stopped, Errno::EBADF) => {
            stopped.finish(-i64::from(libc::EBADF));
            Reach::Gone
        }
        Fetched::Refused(stopped, _) => Reach::Stopped(stopped),
        Fetched::Gone => Reach::Gone,
        Fetched::Untouched(seized, error) => match options {
            Some(options) => replace(caller, number, options, seized),
            None => Reach::Nothing(error, seized),
        },
    }
}

/// A new socket in the place of the caller's.
pub fn replace(
    caller: &Notification,
    number: i32,
    options: &Options,
    seized: Option<Seized>,
) -> Reach {
    match Replacement::of(caller.pid, number, options) {
        Ok(replacement) => Reach::Socket(Reached::New(replacement, seized)),
        Err(error) => Reach::Nothing(error, seized),
    }
}

/// Whether a program has more seccomp filters than it was started with: its own may kill it for calls that it
/// is made to make.
pub fn has_own_filter(caller: &Notification, given: u32) -> bool {
    process::filters(caller.pid) > given
}
