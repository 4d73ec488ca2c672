//! Starts the command.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use nix::unistd::Pid;

use crate::descriptor_limit::DescriptorLimit;
use crate::failure::Failure;
use crate::holding::Holding;
use crate::run::environment;
use crate::run::signals::OriginalSignals;
use crate::run::supervisor::ToHolder;

/// The command as it was given, with the signals it is to start with.
#[derive(Debug)]
pub struct CommandLine<'a> {
    program: &'a OsString,
    arguments: &'a [OsString],
    signals: OriginalSignals,
}

impl<'a> CommandLine<'a> {
    /// `words` is not empty.
    pub fn new(words: &'a [OsString], signals: OriginalSignals) -> Self {
        Self {
            program: &words[0],
            arguments: &words[1..],
            signals,
        }
    }

    /// Forks and executes the command with the ports in its environment, under a supervisor's
    /// filter if there is to be one.
    pub fn spawn(&self, holding: &Holding, filter: Option<ToHolder>) -> Result<Pid, (Failure, u8)> {
        let mut command = Command::new(self.program);
        command.args(self.arguments);
        environment::set(&mut command, holding);
        let (signals, limit) = (self.signals, holding.original_limit());
        let prepare = move || {
            signals.restore()?;
            limit.map_or(Ok(()), DescriptorLimit::restore)?;
            filter.as_ref().map_or(Ok(()), ToHolder::install_filter)
        };
        // SAFETY: between fork and exec this calls async-signal-safe functions only.
        unsafe { command.pre_exec(prepare) };
        match command.spawn() {
            Ok(child) => Ok(Pid::from_raw(child.id().cast_signed())),
            Err(error) => Err(self.failure(&error)),
        }
    }

    /// 127 and 126 are what shells and env(1) answer with.
    fn failure(&self, error: &io::Error) -> (Failure, u8) {
        let code = if error.kind() == io::ErrorKind::NotFound {
            127
        } else {
            126
        };
        let message = format!("cannot run '{}': {error}", self.program.display());
        (
            Failure {
                message,
                hints: Vec::new(),
            },
            code,
        )
    }
}
