//! Runs a command that owns ports.
//!
//! Three processes take part. Our parent started the *foreground* process and waits for it. The
//! foreground process forks the *holder*, which acquires the ports and forks and executes the
//! *command*. The command and its children are thus descendants of the owner of the reservations: the
//! holder is a child subreaper (PR_SET_CHILD_SUBREAPER(2const)), so descendants that outlive their
//! parents become its children. The consumers of the ports are the owner and its descendants.
//!
//! Without the kernel part, sockets of the holder hold the ports, and the holder lets the command bind
//! to them: see [`supervisor`].
//!
//! All three processes stay in one process group, so that the terminal's signals and job control treat
//! the command as if it had been started directly. The holder leaves the group and the session when the
//! command has ended.

mod attempts;
mod channel;
mod command;
mod environment;
mod foreground;
mod holder;
#[cfg(target_arch = "x86_64")]
mod quiet;
mod reaper;
mod server;
pub mod signals;
pub mod supervisor;
mod surroundings;

use std::ffi::OsString;
use std::process::ExitCode;

use nix::unistd::{ForkResult, fork, getpid};

use crate::error::{Context as _, Result};
use crate::run::channel::Channel;
use crate::run::command::CommandLine;
use crate::run::foreground::Foreground;
use crate::run::signals::{OriginalSignals, SignalQueue};

pub use holder::Options;
pub use server::{ServerOptions, Whose};

/// Runs the command with the ports and returns its exit status.
pub fn run(options: &Options<'_>, command: &[OsString]) -> Result<ExitCode> {
    let original = OriginalSignals::block()?;
    let foreground = getpid();
    let (to_holder, to_foreground) = Channel::pair().context("socketpair")?;
    // SAFETY: this process has one thread, so the child may do anything.
    match unsafe { fork() }.context("cannot fork")? {
        ForkResult::Parent { child } => {
            drop(to_foreground);
            Foreground::new(child, to_holder, SignalQueue::open()?).wait()
        }
        ForkResult::Child => {
            drop(to_holder);
            let command = CommandLine::new(command, original, options.installation);
            let status = holder::hold(options, &command, to_foreground, foreground);
            // The foreground process already knows.
            std::process::exit(i32::from(status.is_err()));
        }
    }
}
