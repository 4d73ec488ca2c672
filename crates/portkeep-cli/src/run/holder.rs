//! The process that owns the ports and is the command's parent.

use std::os::fd::AsFd as _;
use std::os::unix::process::ExitStatusExt as _;

use anyhow::Context as _;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl::set_child_subreaper;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, getpgid, getpgrp, getppid, setsid};
use portkeep::Consumers;

use crate::failure::{Failure, REFUSED};
use crate::holding::Holding;
use crate::ports_argument::PortsArgument;
use crate::run::channel::{Received, Report, ToForeground};
use crate::run::command::CommandLine;
use crate::run::group_copies::GroupCopies;
use crate::run::reaper::{Child, exit_code, next_change};
use crate::run::signals::{ReceivedSignal, Sender, SignalQueue};
use crate::run::surroundings;

/// Holds the ports while the command and its descendants live.
pub fn hold(
    ports: &PortsArgument,
    command: &CommandLine<'_>,
    foreground: ToForeground,
    foreground_pid: Pid,
) -> anyhow::Result<()> {
    let result = Holder::start(ports, command, foreground_pid)
        .and_then(|holder| holder.serve(&foreground).map_err(refused));
    if let Err((failure, code)) = result {
        foreground.send(&Report::Failed(failure, code))?;
    }
    Ok(())
}

fn refused(error: anyhow::Error) -> (Failure, u8) {
    (Failure::from(&error), REFUSED)
}

struct Holder {
    holding: Holding,
    command: Pid,
    foreground_pid: Pid,
    /// Whether it was stopped by us.
    foreground_stopped: bool,
    signals: SignalQueue,
    copies: GroupCopies,
}

impl Holder {
    fn start(
        ports: &PortsArgument,
        command: &CommandLine<'_>,
        foreground_pid: Pid,
    ) -> Result<Self, (Failure, u8)> {
        set_child_subreaper(true)
            .context("prctl")
            .map_err(refused)?;
        let consumers = Consumers::PROCESS | Consumers::TREE;
        let holding = Holding::acquire(ports, consumers).map_err(refused)?;
        let signals = SignalQueue::open().map_err(refused)?;
        let command = command.spawn(&holding)?;
        let mut holder = Self {
            holding,
            command,
            foreground_pid,
            foreground_stopped: false,
            signals,
            copies: GroupCopies::default(),
        };
        // Signals to the group that came before the command was in it are meant for it all the same.
        // One that came just then may reach it twice, before it can have a handler.
        for signal in holder.signals.take().map_err(refused)? {
            holder.copies.note(signal);
            holder.send(signal.number).map_err(refused)?;
        }
        Ok(holder)
    }

    /// Passes signals on and reports, until the command has ended; then waits for the others.
    fn serve(mut self, foreground: &ToForeground) -> anyhow::Result<()> {
        surroundings::leave()?;
        let mut listening = true;
        let code = loop {
            // Before the first wait too: the SIGCHLD may be among the signals taken already.
            if let Some(code) = self.watch_command()? {
                break code;
            }
            wait_for_input(&self.signals, listening.then_some(foreground))?;
            for signal in self.signals.take()? {
                self.copies.note(signal);
            }
            match foreground.receive()? {
                Received::Message(signal) => self.pass_on(signal)?,
                Received::Nothing => {}
                // Killed: the command does not depend on it, so all goes on.
                Received::Closed => listening = false,
            }
        };
        let Self {
            holding, signals, ..
        } = self;
        let holder_stays = has_children()?;
        // With nobody left the ports are free before our caller learns that the command ended,
        // so that it can ask for them again.
        let holding = holder_stays.then_some(holding);
        foreground.send(&Report::Ended { code, holder_stays })?;
        if holding.is_some() {
            wait_for_others(&signals)?;
        }
        Ok(())
    }

    /// Takes in all that has become of the children; gives the command's exit code if it ended.
    ///
    /// The foreground process stops and continues with the command. It is the holder that stops
    /// it: were it told to stop itself, it could do so after the command has been continued again.
    fn watch_command(&mut self) -> anyhow::Result<Option<u8>> {
        while let Child::Changed(pid, status) = next_change().context("waitpid")? {
            if pid != self.command {
                continue;
            }
            if let Some(code) = exit_code(status) {
                self.stop_foreground(false);
                return Ok(Some(code));
            }
            self.stop_foreground(status.stopped_signal().is_some());
        }
        Ok(None)
    }

    fn stop_foreground(&mut self, stop: bool) {
        // If the foreground process has been killed we are another process's child.
        if stop != self.foreground_stopped && getppid() == self.foreground_pid {
            let signal = if stop {
                Signal::SIGSTOP
            } else {
                Signal::SIGCONT
            };
            let _ = kill(self.foreground_pid, signal);
        }
        self.foreground_stopped = stop;
    }

    fn pass_on(&mut self, signal: ReceivedSignal) -> anyhow::Result<()> {
        let to_group = signal.sender == Sender::Kernel || self.copies.take(signal);
        // A command that has made a group of its own, as an interactive shell does, is not in
        // the group that the signal was sent to.
        if to_group && getpgid(Some(self.command)) == Ok(getpgrp()) {
            return Ok(());
        }
        self.send(signal.number)
    }

    /// Sends a signal to the command. Until we have waited for it its process id is its own.
    fn send(&self, number: i32) -> anyhow::Result<()> {
        // SAFETY: kill(2) touches no memory; nix's would refuse the real-time signals.
        if unsafe { libc::kill(self.command.as_raw(), number) } == 0 {
            return Ok(());
        }
        match Errno::last() {
            // A command that has changed its user: passing signals on is not ours any more.
            Errno::EPERM | Errno::ESRCH => Ok(()),
            error => Err(error).context("kill"),
        }
    }
}

fn wait_for_input(signals: &SignalQueue, channel: Option<&ToForeground>) -> anyhow::Result<()> {
    let mut inputs = vec![PollFd::new(signals.as_fd(), PollFlags::POLLIN)];
    inputs.extend(channel.map(|channel| PollFd::new(channel.as_fd(), PollFlags::POLLIN)));
    match poll(&mut inputs, PollTimeout::NONE) {
        Ok(_) | Err(Errno::EINTR) => Ok(()),
        Err(error) => Err(error).context("poll"),
    }
}

/// Whether descendants are left, after waiting for those that have ended.
fn has_children() -> anyhow::Result<bool> {
    loop {
        match next_change().context("waitpid")? {
            Child::Changed(..) => {}
            Child::Unchanged => return Ok(true),
            Child::None => return Ok(false),
        }
    }
}

/// Waits in a session of its own until the last descendant has gone or SIGTERM comes.
fn wait_for_others(signals: &SignalQueue) -> anyhow::Result<()> {
    setsid().context("setsid")?;
    while has_children()? {
        wait_for_input(signals, None)?;
        if signals
            .take()?
            .iter()
            .any(|signal| signal.number == libc::SIGTERM)
        {
            break;
        }
    }
    Ok(())
}
