//! Starts the command.

use std::ffi::{CString, OsString};
use std::io::{self, PipeReader, Read as _, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use nix::sys::signal::{Signal, kill};
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, Pid, fork};
use portkeep_admin::Installation;

use crate::error::{Error, Kind, Result};
use crate::holding::{DescriptorLimit, Holding};
use crate::locations;
use crate::run::environment;
use crate::run::signals::OriginalSignals;
use crate::run::supervisor::ToHolder;

/// The command as it was given, with the signals it is to start with.
#[derive(Debug)]
pub struct CommandLine<'a> {
    program: &'a OsString,
    arguments: &'a [OsString],
    signals: OriginalSignals,
    /// The one that the command is to find if it uses Portkeep.
    installation: &'a Installation,
}

impl<'a> CommandLine<'a> {
    /// `words` is not empty.
    pub fn new(
        words: &'a [OsString],
        signals: OriginalSignals,
        installation: &'a Installation,
    ) -> Self {
        Self {
            installation,
            program: &words[0],
            arguments: &words[1..],
            signals,
        }
    }

    /// The name that the command is going to have, as proc_pid_comm(5) shows it.
    pub fn name(&self) -> Option<CString> {
        let file = Path::new(self.program).file_name()?;
        CString::new(file.as_bytes()).ok()
    }

    /// Forks and executes the command with the ports in its environment, under a supervisor's
    /// filter if there is to be one, and with these variables besides. It is not executed before `prepare` has returned, until when
    /// all signals are blocked in it, and not at all if that fails.
    pub fn spawn(
        &self,
        holding: &Holding,
        filter: Option<ToHolder>,
        variables: &[(&str, OsString)],
        prepare: impl FnOnce(Pid) -> Result<()>,
    ) -> Result<Pid> {
        let mut command = Command::new(self.program);
        let named = holding.named();
        let arguments = self.arguments.iter();
        command.args(arguments.map(|argument| environment::fill_in(argument, &named)));
        locations::pass_on(self.installation, &mut command);
        environment::set(&mut command, holding);
        command.envs(variables.iter().map(|(name, value)| (name, value)));
        let (go_ahead, hold_back) = io::pipe().map_err(|error| self.failure(&error))?;
        let (mut outcome, report) = io::pipe().map_err(|error| self.failure(&error))?;
        // SAFETY: this process has one thread, so the child may do anything.
        match unsafe { fork() }.map_err(|error| self.failure(&error.into()))? {
            ForkResult::Child => {
                drop((hold_back, outcome));
                let error = self.execute(&mut command, holding, filter, go_ahead);
                let number = error.raw_os_error().unwrap_or(libc::EINVAL);
                let _ = (&report).write_all(&number.to_ne_bytes());
                // SAFETY: ends this process; what is to be done at its end is the parent's.
                unsafe { libc::_exit(127) }
            }
            ForkResult::Parent { child } => {
                drop((go_ahead, report, filter));
                if let Err(error) = prepare(child) {
                    let _ = kill(child, Signal::SIGKILL);
                    let _ = waitpid(child, None);
                    return Err(error);
                }
                drop(hold_back);
                let mut number = [0; 4];
                match outcome.read_exact(&mut number) {
                    Ok(()) => {
                        let _ = waitpid(child, None);
                        let number = i32::from_ne_bytes(number);
                        Err(self.failure(&io::Error::from_raw_os_error(number)))
                    }
                    // Closed by exec.
                    Err(_) => Ok(child),
                }
            }
        }
    }

    /// In the child; returns only if it fails.
    fn execute(
        &self,
        command: &mut Command,
        holding: &Holding,
        filter: Option<ToHolder>,
        mut go_ahead: PipeReader,
    ) -> io::Error {
        let (signals, limit) = (self.signals, holding.original_limit());
        let prepare = move || {
            filter.as_ref().map_or(Ok(()), ToHolder::install_filter)?;
            // Nothing is ever written: the end comes when the parent is ready, or has gone.
            go_ahead.read_to_end(&mut Vec::new())?;
            signals.restore()?;
            Ok(limit.map_or(Ok(()), DescriptorLimit::restore)?)
        };
        // SAFETY: this process has one thread.
        unsafe { command.pre_exec(prepare) };
        command.exec()
    }

    fn failure(&self, error: &io::Error) -> Error {
        let kind = match error.kind() {
            io::ErrorKind::NotFound => Kind::CommandNotFound,
            _ => Kind::CommandNotExecutable,
        };
        let message = format!("cannot run '{}': {error}", self.program.display());
        Error::new(kind, message)
    }
}
