//! The process that owns the ports and is the command's parent.

use std::ffi::{CString, OsString};
use std::fs;
use std::os::fd::AsFd as _;
use std::os::unix::process::ExitStatusExt as _;
use std::sync::Arc;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl::{set_child_subreaper, set_name};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, getpgid, getpgrp, getpid, getppid, setsid};
use portkeep::{Backend, Consumers};
use portkeep_admin::Installation;

use crate::arguments::ports::PortsArgument;
use crate::error::{Context as _, Error, Kind, Result};
use crate::holding::Holding;
use crate::output::say;
use crate::run::channel::{Received, Report, ToForeground};
use crate::run::command::CommandLine;
use crate::run::reaper::{Child, exit_code, next_change};
use crate::run::server::ServerOptions;
use crate::run::signals::{GroupCopies, ReceivedSignal, Sender, SignalQueue};
use crate::run::supervisor::inner::{self, Door};
use crate::run::supervisor::{self, FromCommand, Library, Shared, Tried};
use crate::run::surroundings;
use crate::serve::Background;
use crate::waiting::{self, Surroundings};

/// How to run a command.
#[derive(Debug)]
pub struct Options<'a> {
    pub installation: &'a Installation,
    pub ports: &'a PortsArgument,
    /// Whether to say what keeps the ports.
    pub verbose: bool,
    /// Whether to say nothing but why the command does not run.
    pub quiet: bool,
    /// The port server for the command, if there is to be one.
    pub server: Option<ServerOptions>,
    /// Whether to run the command even if it cannot bind to its ports.
    pub unprotected: bool,
    /// Whether its programs are to load a library that has their binds made.
    pub preload: bool,
}

/// Holds the ports while the command and its descendants live.
pub fn hold(
    options: &Options<'_>,
    command: &CommandLine<'_>,
    foreground: ToForeground,
    foreground_pid: Pid,
) -> Result<()> {
    let result = Holder::start(options, command, &foreground, foreground_pid)
        .and_then(|holder| holder.serve(&foreground));
    if let Err(error) = result {
        foreground.send(&Report::Failed(error))?;
    }
    Ok(())
}

struct Holder<'a> {
    options: &'a Options<'a>,
    holding: Arc<Shared>,
    server: Option<Background>,
    library: Option<Library>,
    command: Pid,
    foreground_pid: Pid,
    /// Whether it was stopped by us.
    foreground_stopped: bool,
    signals: SignalQueue,
    copies: GroupCopies,
}

impl<'a> Holder<'a> {
    fn start(
        options: &'a Options<'a>,
        command: &CommandLine<'_>,
        foreground: &ToForeground,
        foreground_pid: Pid,
    ) -> Result<Self> {
        set_child_subreaper(true).context("prctl")?;
        let signals = SignalQueue::open()?;
        let mut holding = acquire(options, command, &signals, foreground, foreground_pid)?;
        let server = options.server.as_ref();
        let server = server.map(|server| server.open(&mut holding)).transpose()?;
        if options.verbose {
            for line in holding.explain(options.ports) {
                say(&line);
            }
            if let Some(server) = &server {
                say(&server.explain());
            }
        }
        let (environment, server) = server.map_or((Vec::new(), None), |server| {
            (server.environment(), Some(server))
        });
        let mut server = server;
        let mut background = None;
        let mut copies = GroupCopies::default();
        let Started {
            command,
            holding,
            library,
        } = start_command(options, command, holding, &environment, |command| {
            // This process forks no more.
            if let Some(server) = server.take() {
                background = Some(server.start()?);
            }
            // Signals to the group that came before the command was in it are meant for it all the
            // same. One that came since has reached it too, and merges with ours: it is pending, for
            // the command has not unblocked its signals yet.
            for signal in signals.take()? {
                copies.note(signal);
                send(command, signal.number)?;
            }
            Ok(())
        })?;
        Ok(Self {
            options,
            holding,
            server: background,
            library,
            command,
            foreground_pid,
            foreground_stopped: false,
            signals,
            copies,
        })
    }

    /// Passes signals on and reports, until the command has ended; then waits for the others.
    fn serve(mut self, foreground: &ToForeground) -> Result<()> {
        surroundings::leave()?;
        let mut listening = true;
        let code = loop {
            // Before the first wait too: the SIGCHLD may be among the signals taken already.
            if let Some(code) = self.watch_command()? {
                break code;
            }
            wait_for_input(&self.signals, listening.then_some(foreground))?;
            let received = foreground.receive()?;
            // Only now: our copy of a signal to the group was there before the message about the other,
            // but perhaps not before we looked for it.
            for signal in self.signals.take()? {
                self.copies.note(signal);
            }
            match received {
                Received::Message(signal) => self.pass_on(signal)?,
                Received::Nothing => {}
                // Killed: the command does not depend on it, so all goes on.
                Received::Closed => listening = false,
            }
        };
        let Self {
            options,
            holding,
            signals,
            server,
            library,
            ..
        } = self;
        let reason = match code {
            0 => None,
            _ if options.quiet => None,
            _ => holding.attempts().explain(options.installation),
        };
        let holder_stays = has_children()?;
        // With nobody left the ports are free before our caller learns that the command ended,
        // so that it can ask for them again.
        let server = server.filter(|_| holder_stays);
        if !holder_stays {
            holding.release();
        }
        foreground.send(&Report::Ended {
            code,
            holder_stays,
            reason,
        })?;
        if holder_stays {
            wait_for_others(&signals)?;
        }
        drop((server, library));
        Ok(())
    }

    /// Takes in all that has become of the children; gives the command's exit code if it ended.
    ///
    /// The foreground process stops and continues with the command. It is the holder that stops
    /// it: were it told to stop itself, it could do so after the command has been continued again.
    fn watch_command(&mut self) -> Result<Option<u8>> {
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

    fn pass_on(&mut self, signal: ReceivedSignal) -> Result<()> {
        let to_group = signal.sender == Sender::Kernel || self.copies.take(signal);
        // A command that has made a group of its own, as an interactive shell does, is not in
        // the group that the signal was sent to.
        if to_group && getpgid(Some(self.command)) == Ok(getpgrp()) {
            return Ok(());
        }
        send(self.command, signal.number)
    }
}

/// Takes the ports in the command's name, by which lists show them. With `--wait` signals end or stop us
/// meanwhile as they would the command.
fn acquire(
    options: &Options<'_>,
    command: &CommandLine<'_>,
    signals: &SignalQueue,
    foreground: &ToForeground,
    foreground_pid: Pid,
) -> Result<Holding> {
    let own = fs::read("/proc/self/comm").ok();
    let own = own.and_then(|name| CString::new(name.trim_ascii_end()).ok());
    if let Some(name) = command.name() {
        let _ = set_name(&name);
    }
    let mut look_after = || look_after(signals, foreground, foreground_pid);
    let acquired = waiting::acquire(
        options.installation,
        options.ports,
        Consumers::PROCESS | Consumers::TREE,
        Surroundings {
            quiet: options.quiet,
            inputs: &[signals.as_fd(), foreground.as_fd()],
            look_after: &mut look_after,
        },
    );
    if let Some(name) = own {
        let _ = set_name(&name);
    }
    acquired
}

/// The signal that ends the waiting, if one has come. One that stops stops the foreground process, too,
/// for which our caller waits.
fn look_after(
    signals: &SignalQueue,
    foreground: &ToForeground,
    foreground_pid: Pid,
) -> Result<Option<u8>> {
    let mut numbers: Vec<_> = signals.take()?.iter().map(|it| it.number).collect();
    match foreground.receive()? {
        Received::Message(signal) => numbers.push(signal.number),
        Received::Nothing => {}
        Received::Closed => return Ok(Some(libc::SIGKILL as u8)),
    }
    for number in numbers {
        match number {
            libc::SIGHUP | libc::SIGINT | libc::SIGQUIT | libc::SIGTERM => {
                return Ok(Some(number as u8));
            }
            libc::SIGTSTP if getppid() == foreground_pid => {
                kill(foreground_pid, Signal::SIGSTOP).context("kill")?;
                kill(getpid(), Signal::SIGSTOP).context("kill")?;
            }
            _ => {}
        }
    }
    Ok(None)
}

/// Sends a signal to the command. Until we have waited for it its process id is its own.
fn send(command: Pid, number: i32) -> Result<()> {
    // SAFETY: kill(2) touches no memory; nix's would refuse the real-time signals.
    if unsafe { libc::kill(command.as_raw(), number) } == 0 {
        return Ok(());
    }
    match Errno::last() {
        // A command that has changed its user: passing signals on is not ours any more.
        Errno::EPERM | Errno::ESRCH => Ok(()),
        error => Err(error).context("kill"),
    }
}

/// A command that has been started.
struct Started {
    command: Pid,
    holding: Arc<Shared>,
    /// What its programs load.
    library: Option<Library>,
}

/// Starts the command, supervised if any of its ports are held by sockets, by us or by the run around us.
fn start_command(
    options: &Options<'_>,
    command: &CommandLine<'_>,
    holding: Holding,
    variables: &[(&str, OsString)],
    mut prepare: impl FnMut(Pid) -> Result<()>,
) -> Result<Started> {
    let is_held = holding.backend() == Backend::Held && !holding.is_empty();
    let holding = Shared::new(holding);
    let mut library = None;
    let spawn = |filter, variables: &[_], prepare: &mut dyn FnMut(Pid) -> Result<()>| {
        let spawned = holding.with(|holding| command.spawn(holding, filter, variables, prepare));
        spawned.expect("nobody has released it")
    };
    let command = if !is_held {
        spawn(None, variables, &mut prepare)?
    } else if let Some(door) = find_door(options, &holding)? {
        let mut door = Some(door);
        spawn(None, variables, &mut |command| {
            if let Some(door) = door.take() {
                inner::serve(door, &holding).context("supervising")?;
            }
            prepare(command)
        })?
    } else {
        let (from_command, to_holder) = supervisor::pair(options.preload).context("socketpair")?;
        let mut with_library = variables.to_vec();
        if options.preload {
            let written = Library::write().context("cannot write the library of --preload")?;
            with_library.push(written.variable());
            library = Some(written);
        }
        let mut has_no_way = false;
        let spawned = spawn(Some(to_holder), &with_library, &mut |command| {
            let tried = find_way(options, &from_command);
            has_no_way = tried.is_err();
            supervisor::serve(tried?, &holding).context("supervising")?;
            prepare(command)
        });
        match spawned {
            // Under the filter, with nobody to answer, it could not bind to any port.
            Err(error) if has_no_way && options.unprotected => {
                if !options.quiet {
                    say(error.message());
                }
                spawn(None, variables, &mut prepare)?
            }
            spawned => spawned?,
        }
    };
    Ok(Started {
        command,
        holding,
        library,
    })
}

/// The way through the run around this one, which supervises our command too.
fn find_door(options: &Options<'_>, holding: &Shared) -> Result<Option<Door>> {
    const AROUND: &str = "the run around this one";
    let Some(door) = inner::knock().context(AROUND)? else {
        return Ok(None);
    };
    let numbers = holding.with(Holding::numbers);
    door.register(numbers.unwrap_or_default()).context(AROUND)?;
    if options.verbose {
        say(&format!("the command binds by way of {AROUND}"));
    }
    Ok(Some(door))
}

/// The way to the command's sockets.
fn find_way(options: &Options<'_>, command: &FromCommand) -> Result<Tried> {
    match command.try_ways().context("supervising")? {
        Ok(tried) => {
            if options.verbose {
                say(&format!("the command binds {}", tried.way.explain()));
            }
            Ok(tried)
        }
        Err(reason) => {
            let message = format!("the command cannot bind to its ports: {reason}");
            let error = Error::new(Kind::CommandRefused, message);
            Err(error.with_hint(
                "`run --preload` has its programs load a library instead; or enable the kernel part, or \
                 allow these calls in the sandbox around it; `run --unprotected` runs it anyway",
            ))
        }
    }
}

/// Waits for a signal or a message.
fn wait_for_input(signals: &SignalQueue, channel: Option<&ToForeground>) -> Result<()> {
    let mut inputs = vec![PollFd::new(signals.as_fd(), PollFlags::POLLIN)];
    inputs.extend(channel.map(|channel| PollFd::new(channel.as_fd(), PollFlags::POLLIN)));
    match poll(&mut inputs, PollTimeout::NONE) {
        Ok(_) | Err(Errno::EINTR) => Ok(()),
        Err(error) => Err(error).context("poll"),
    }
}

/// Whether descendants are left, after waiting for those that have ended.
fn has_children() -> Result<bool> {
    loop {
        match next_change().context("waitpid")? {
            Child::Changed(..) => {}
            Child::Unchanged => return Ok(true),
            Child::None => return Ok(false),
        }
    }
}

/// Waits in a session of its own until the last descendant has gone or SIGTERM comes.
fn wait_for_others(signals: &SignalQueue) -> Result<()> {
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
