//! The runner's side of a root trial: a process in a fresh sandbox, watched to its end.

use std::env;
use std::fs::{self, DirBuilder, File};
use std::io::{self, Write};
use std::os::fd::{AsFd, FromRawFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use libtest_mimic::Completion;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl;
use nix::sys::signal::Signal;

use crate::leftover::Run;
use crate::sandbox::{BPFFS, CGROUP, INSIDE, RUNTIME_DIR, STATE_DIR, outside};
use crate::{cgroup, skip, trial};

/// The exit code of a body that came to its end. Not 0, so that a body that calls exit(0) fails.
pub(crate) const PASSED: u8 = 42;
/// The exit code of a body that [`skip::skip`] ended.
pub(crate) const SKIPPED: u8 = 43;

/// Runs the trial `name` of this binary in a process of its own. The error tells why it failed and
/// has the process's output, unless `show` lets that through.
pub(crate) fn run(name: &str, limit: Duration, show: bool) -> Result<Completion, String> {
    let grounds = Grounds::new().map_err(|error| format!("cannot make a sandbox: {error}"))?;
    let verdict = match grounds.run(name, limit, show) {
        Ok(verdict) => verdict,
        Err(error) => Err(format!("cannot run the trial: {error}")),
    };
    let output = fs::read(grounds.output()).unwrap_or_default();
    let cleaned = grounds
        .remove()
        .map_err(|error| format!("cannot clean up: {error}"));
    let reasons: Vec<_> = match (verdict, cleaned) {
        (Ok(completion), Ok(())) => return Ok(completion),
        (verdict, cleaned) => verdict.err().into_iter().chain(cleaned.err()).collect(),
    };
    Err(format!(
        "{}\n{}",
        reasons.join("\n"),
        String::from_utf8_lossy(&output)
    ))
}

/// What a sandbox is made of outside its process. Dropping it removes everything.
#[derive(Debug)]
struct Grounds {
    cgroup: PathBuf,
    directory: PathBuf,
}

impl Grounds {
    fn new() -> io::Result<Self> {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let name = Run::own()?.name(NEXT.fetch_add(1, Ordering::Relaxed));
        let cgroup = cgroup::top()?.join(&name);
        let grounds = Self {
            cgroup,
            directory: env::temp_dir().join(&name),
        };
        fs::create_dir(&grounds.cgroup)?;
        fs::create_dir(grounds.cgroup.join(INSIDE))?;
        // Other users' processes must reach the bpffs, whatever the umask.
        let mut builder = DirBuilder::new();
        builder.mode(0o755).create(&grounds.directory)?;
        builder.create(grounds.bpffs())?;
        builder.create(grounds.state_dir())?;
        builder.mode(0o700).create(grounds.runtime_dir())?;
        Ok(grounds)
    }

    fn bpffs(&self) -> PathBuf {
        self.directory.join("bpffs")
    }

    fn state_dir(&self) -> PathBuf {
        self.directory.join("state")
    }

    fn runtime_dir(&self) -> PathBuf {
        self.directory.join("runtime")
    }

    fn output(&self) -> PathBuf {
        self.directory.join("output")
    }

    /// Whether the trial passed or was skipped, or why it failed.
    fn run(
        &self,
        name: &str,
        limit: Duration,
        show: bool,
    ) -> io::Result<Result<Completion, String>> {
        let mut child = self.spawn(name, show)?;
        let ended = wait(&mut child, limit);
        // By its id too: it may have left the cgroup.
        child.kill()?;
        let status = child.wait()?;
        Ok(match status.code() {
            _ if !ended? => Err(format!("killed: not over in {limit:?}")),
            Some(code) if code == i32::from(PASSED) => Ok(Completion::Completed),
            Some(code) if code == i32::from(SKIPPED) => Ok(Completion::ignored_with(
                skip::read_reason(&self.directory)?,
            )),
            _ => Err(fault(status)),
        })
    }

    fn spawn(&self, name: &str, show: bool) -> io::Result<Child> {
        // Unlike current_exe, this works for a binary rebuilt meanwhile.
        let mut command = Command::new("/proc/self/exe");
        command
            .args(["--exact", name, "--nocapture"])
            .stdin(Stdio::null());
        command.env(trial::NAME, name).env(CGROUP, &self.cgroup);
        command
            .env(BPFFS, self.bpffs())
            .env(STATE_DIR, self.state_dir())
            .env(RUNTIME_DIR, self.runtime_dir());
        if !show {
            let output = File::create(self.output())?;
            command.stdout(output.try_clone()?).stderr(output);
        }
        // Signals that a body sends to its process group must not reach the runner.
        command.process_group(0);
        let inside = self.cgroup.join(INSIDE).join("cgroup.procs");
        let procs = File::options().write(true).open(inside)?;
        let enter = move || {
            (&procs).write_all(b"0")?;
            prctl::set_pdeathsig(Signal::SIGKILL)?;
            Ok(())
        };
        // SAFETY: the closure makes two system calls and allocates nothing.
        unsafe { command.pre_exec(enter) };
        command.spawn()
    }

    fn remove(&self) -> io::Result<()> {
        cgroup::remove(&outside(&self.cgroup))?;
        cgroup::remove(&self.cgroup)?;
        match fs::remove_dir_all(&self.directory) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

impl Drop for Grounds {
    fn drop(&mut self) {
        let _ = self.remove();
    }
}

fn fault(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(101), _) => "failed".into(),
        (Some(0), _) => "the body left through exit(0)".into(),
        (_, Some(signal)) => match Signal::try_from(signal) {
            Ok(signal) => format!("killed by {signal}"),
            Err(_) => format!("killed by signal {signal}"),
        },
        _ => format!("failed: {status}"),
    }
}

/// Waits for the end of a process without reaping it; false if it takes longer than `limit`.
fn wait(child: &mut Child, limit: Duration) -> io::Result<bool> {
    let deadline = Instant::now() + limit;
    let pidfd = pidfd(child)?;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        let mut fds = [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)];
        match poll(&mut fds, timeout) {
            Ok(0) if Instant::now() >= deadline => return Ok(false),
            Ok(0) | Err(Errno::EINTR) => {}
            Ok(_) => return Ok(true),
            Err(error) => return Err(error.into()),
        }
    }
}

/// A descriptor that becomes readable when the process ends (pidfd_open(2), Linux 5.3).
fn pidfd(child: &Child) -> io::Result<OwnedFd> {
    // SAFETY: pidfd_open takes two numbers; the id is that of our unreaped child.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, child.id(), 0) };
    let fd = Errno::result(fd)?;
    // SAFETY: the kernel has just made this descriptor for us; it fits an int, as all do.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}
