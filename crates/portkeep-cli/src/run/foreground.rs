//! The process that our parent started and waits for.

use std::os::fd::AsFd as _;
use std::process::ExitCode;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::wait::waitpid;
use nix::unistd::Pid;

use crate::error::{Context as _, Error, Result};
use crate::output::say;
use crate::run::channel::{Received, Report, ToHolder};
use crate::run::signals::{Sender, SignalQueue};

/// Represents the command to our parent: receives its signals, is stopped and continued by the holder
/// together with it, and ends with its status.
#[derive(Debug)]
pub struct Foreground {
    holder_pid: Pid,
    holder: ToHolder,
    signals: SignalQueue,
}

impl Foreground {
    pub fn new(holder_pid: Pid, holder: ToHolder, signals: SignalQueue) -> Self {
        Self {
            holder_pid,
            holder,
            signals,
        }
    }

    /// Waits for the command and returns its exit status.
    pub fn wait(self) -> Result<ExitCode> {
        loop {
            self.wait_for_input()?;
            self.hand_over_signals()?;
            match self
                .holder
                .receive()
                .context("cannot hear from the holder")?
            {
                Received::Message(Report::Ended {
                    code,
                    holder_stays,
                    reason,
                }) => {
                    if let Some(reason) = reason {
                        say(&reason);
                    }
                    if !holder_stays {
                        self.reap_holder()?;
                    }
                    return Ok(ExitCode::from(code));
                }
                Received::Message(Report::Failed(error)) => {
                    self.reap_holder()?;
                    return Err(error);
                }
                Received::Nothing => {}
                Received::Closed => {
                    let message = "the process that held the ports was killed; they are free now";
                    return Err(Error::refused(message));
                }
            }
        }
    }

    /// Waits for the holder, which is exiting: not every init process reaps orphans.
    fn reap_holder(&self) -> Result<()> {
        waitpid(self.holder_pid, None).context("waitpid")?;
        Ok(())
    }

    fn wait_for_input(&self) -> Result<()> {
        let mut inputs = [
            PollFd::new(self.signals.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.holder.as_fd(), PollFlags::POLLIN),
        ];
        match poll(&mut inputs, PollTimeout::NONE) {
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(error) => Err(error).context("poll"),
        }
    }

    /// The holder passes signals on: only it is sure that the process ID still belongs to the command.
    fn hand_over_signals(&self) -> Result<()> {
        let holder = Sender::Process(self.holder_pid.as_raw().cast_unsigned());
        for signal in self.signals.take()? {
            // The holder's SIGCONT was for us.
            if signal.sender != holder {
                self.holder
                    .send(&signal)
                    .context("cannot pass a signal on")?;
            }
        }
        Ok(())
    }
}
