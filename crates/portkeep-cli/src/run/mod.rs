//! Runs a command that owns ports.
//!
//! Three processes take part. The *foreground* process is the one that our
//! parent started and waits for. It forks the *holder*, which acquires the ports
//! and forks and executes the *command*. The command is thus a descendant of the
//! reservations' owner, and so are its children: the holder is a child subreaper
//! (PR_SET_CHILD_SUBREAPER(2const)), so that those that outlive their parents
//! become its children. The ports' consumers are the owner and its descendants.
//!
//! Without the kernel part the ports are held by sockets of the holder, which then lets the command
//! in: see [`supervisor`].
//!
//! All three stay in one process group, so that the terminal's signals and job
//! control treat the command as if it had been started without us. The holder
//! leaves the group, and the session, once the command has ended.

mod channel;
mod command;
mod environment;
mod foreground;
mod group_copies;
mod holder;
mod reaper;
pub mod signals;
pub mod supervisor;
mod surroundings;

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::Context as _;
use nix::unistd::{ForkResult, fork, getpid};

use crate::ports_argument::PortsArgument;
use crate::run::channel::Channel;
use crate::run::command::CommandLine;
use crate::run::foreground::Foreground;
use crate::run::signals::{OriginalSignals, SignalQueue};

/// How to run it.
#[derive(Debug)]
pub struct Options<'a> {
    pub ports: &'a PortsArgument,
    /// Whether to say what keeps the ports.
    pub verbose: bool,
    /// Whether to run the command even if it cannot bind to its ports.
    pub unprotected: bool,
}

/// Runs the command with the ports and gives its exit status.
pub fn run(options: &Options<'_>, command: &[OsString]) -> anyhow::Result<ExitCode> {
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
            let command = CommandLine::new(command, original);
            let status = holder::hold(options, &command, to_foreground, foreground);
            // Whoever could be told of an error is the foreground process, and it knows.
            std::process::exit(i32::from(status.is_err()));
        }
    }
}
