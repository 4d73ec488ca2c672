//! Runs `portkeep run` in a scene and stands for it before our parent.

use std::fs;
use std::io::{self, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Command, ExitCode, ExitStatus};

use anyhow::Context as _;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, raise};
use nix::unistd::{ForkResult, Pid, dup2_stderr, dup2_stdin, dup2_stdout, fork, setsid};

use crate::cgroup;
use crate::scene::Scene;
use crate::sentinel::Sentinel;
use crate::signals::Signals;

/// Runs it, takes the scene away, and gives the status that `portkeep run` ended with.
pub fn run(scene: Scene, command: Command, signals: Signals) -> anyhow::Result<ExitCode> {
    let code = start(&scene, command, &signals).and_then(|child| wait(child, &signals));
    if cgroup::is_populated(scene.cgroup())? {
        leave_to_another(&scene)?;
    } else {
        scene.take_away();
    }
    Ok(ExitCode::from(code?))
}

fn start(scene: &Scene, mut command: Command, signals: &Signals) -> anyhow::Result<Pid> {
    command.envs(scene.environment());
    let procs = scene.cgroup().join("cgroup.procs");
    let entrance = fs::File::options()
        .write(true)
        .open(procs)
        .context("the cgroup")?;
    let enter = move || (&entrance).write_all(b"0");
    // SAFETY: the closure makes one system call and allocates nothing.
    unsafe { command.pre_exec(enter) };
    signals.restore_in(&mut command);
    let child = command.spawn().context("portkeep run")?;
    Ok(Pid::from_raw(child.id().cast_signed()))
}

/// Passes signals on and stops along with it, until it ends.
fn wait(child: Pid, signals: &Signals) -> anyhow::Result<u8> {
    // What has come so far, while the child was not there, is meant for it in any case.
    while let Some((signal, _)) = signals.take()? {
        pass_on(child, signal);
    }
    let mut sentinel = Sentinel::post()?;
    loop {
        if let Some(status) = change(child)? {
            if let Some(code) = status.code().or(status.signal().map(|number| 128 + number)) {
                return Ok(u8::try_from(code).unwrap_or(u8::MAX));
            }
            if status.stopped_signal().is_some() && is_stopped(child) {
                raise(Signal::SIGSTOP)?;
            }
            continue;
        }
        let mut inputs = [PollFd::new(signals.as_fd(), PollFlags::POLLIN)];
        match poll(&mut inputs, PollTimeout::NONE) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
        while let Some((signal, from_kernel)) = signals.take()? {
            let to_group = sentinel.has(signal);
            if !(from_kernel || to_group) {
                pass_on(child, signal);
            }
        }
    }
}

fn pass_on(child: Pid, signal: i32) {
    if signal != libc::SIGCHLD {
        // SAFETY: kill(2) touches no memory; nix's would refuse the real-time signals. Until we have
        // waited for the child its process id is its own.
        unsafe { libc::kill(child.as_raw(), signal) };
    }
}

/// What has become of the child, if anything new has.
fn change(child: Pid) -> io::Result<Option<ExitStatus>> {
    let mut status = 0;
    // SAFETY: waitpid(2) writes the status, nothing else.
    match unsafe {
        libc::waitpid(
            child.as_raw(),
            &raw mut status,
            libc::WNOHANG | libc::WUNTRACED,
        )
    } {
        0 => Ok(None),
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(Some(ExitStatus::from_raw(status))),
    }
}

/// It may have been continued since it stopped.
fn is_stopped(child: Pid) -> bool {
    let stat = fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
    stat.contains(") T ")
}

/// The command has left processes behind, which keep its ports. Whoever started us is not to wait for
/// them: a process in the background does.
fn leave_to_another(scene: &Scene) -> anyhow::Result<()> {
    // SAFETY: this process has one thread, so the child may do anything.
    let ForkResult::Child = unsafe { fork() }? else {
        return Ok(());
    };
    let wait = || -> anyhow::Result<()> {
        setsid()?;
        let null = fs::File::options()
            .read(true)
            .write(true)
            .open("/dev/null")?;
        dup2_stdin(&null)?;
        dup2_stdout(&null)?;
        dup2_stderr(&null)?;
        cgroup::wait_until_empty(scene.cgroup())?;
        scene.take_away();
        Ok(())
    };
    let failed = wait().is_err();
    std::process::exit(i32::from(failed));
}
