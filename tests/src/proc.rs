//! Processes: children that run a closure, with other users, namespaces and cgroups.
//!
//! For bodies of root trials only: they run on the one thread of their process, so forking it is
//! safe. A panic in a child is reported there and fails the waiting parent.

use std::env;
use std::fs;
use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Gid, Pid, Uid, fork, getpid, setgroups, setresgid, setresuid};

use crate::sandbox::{self, RUNTIME_DIR};
use crate::{loopback, privilege};

/// The exit code of a child whose closure panicked; no errno is that high.
const PANICKED: i32 = 255;

/// How a child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// With this exit code.
    Code(i32),
    /// By this signal.
    Signal(i32),
}

/// A child process. Dropping it kills and reaps the child.
#[derive(Debug)]
#[must_use = "dropping the child kills it"]
pub struct Child {
    pid: Pid,
    parent: Pid,
    reaped: bool,
}

/// Runs a closure in a forked child; the closure's value, 0 to 254, is the exit code.
pub fn fork_child(body: impl FnOnce() -> i32) -> Child {
    io::stdout().flush().expect("flush stdout");
    let parent = getpid();
    // SAFETY: the body of a root trial has one thread, so the child may do whatever it could.
    match unsafe { fork() }.expect("fork") {
        ForkResult::Parent { child } => Child {
            pid: child,
            parent,
            reaped: false,
        },
        ForkResult::Child => {
            let code = catch_unwind(AssertUnwindSafe(body)).unwrap_or(PANICKED);
            let _ = io::stdout().flush();
            // SAFETY: ends the process at once; the parent's exit handlers must not run here.
            unsafe { libc::_exit(code) }
        }
    }
}

impl Child {
    /// The child's process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid.as_raw().cast_unsigned()
    }

    /// Sends a signal.
    pub fn kill(&self, signal: Signal) {
        kill(self.pid, signal).expect("signal the child");
    }

    /// Waits for the end of the child.
    pub fn wait(mut self) -> Exit {
        self.reap()
    }

    /// Waits for the end of the child and gives its exit code; panics if it panicked or was killed.
    #[track_caller]
    pub fn code(self) -> i32 {
        match self.wait() {
            Exit::Code(PANICKED) => panic!("the child panicked, as reported above"),
            Exit::Code(code) => code,
            Exit::Signal(signal) => panic!("the child was killed by signal {signal}"),
        }
    }

    fn reap(&mut self) -> Exit {
        let status = waitpid(self.pid, None).expect("wait for the child");
        self.reaped = true;
        match status {
            WaitStatus::Exited(_, code) => Exit::Code(code),
            WaitStatus::Signaled(_, signal, _) => Exit::Signal(signal as i32),
            other => unreachable!("waitpid without options returned {other:?}"),
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // A handle copied by a later fork is not that process's child.
        if !self.reaped && self.parent == getpid() {
            let _ = kill(self.pid, Signal::SIGKILL);
            let _ = waitpid(self.pid, None);
        }
    }
}

/// Runs a closure in a child without any privilege and gives its value, such as an errno.
#[track_caller]
pub fn as_uid(uid: u32, gid: u32, body: impl FnOnce() -> i32) -> i32 {
    fork_child(|| {
        drop_privileges(uid, gid);
        body()
    })
    .code()
}

/// Runs a closure in a child in a new network namespace with `lo` up and gives its value.
#[track_caller]
pub fn in_netns(body: impl FnOnce() -> i32) -> i32 {
    fork_child(|| {
        new_netns();
        body()
    })
    .code()
}

/// Runs a closure in a child in another cgroup and gives its value.
#[track_caller]
pub fn in_cgroup(cgroup: &Path, body: impl FnOnce() -> i32) -> i32 {
    fork_child(|| {
        enter_cgroup(cgroup);
        body()
    })
    .code()
}

/// Makes the calling process one of an ordinary user: no supplementary groups, no capabilities, a
/// runtime directory of its own. For use in a child.
pub fn drop_privileges(uid: u32, gid: u32) {
    drop_privileges_with(uid, gid, &[]);
}

/// [`drop_privileges`] to a user with supplementary groups.
pub fn drop_privileges_with(uid: u32, gid: u32, groups: &[u32]) {
    let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
    let groups: Vec<_> = groups.iter().copied().map(Gid::from_raw).collect();
    // Not to be made by root of a user namespace, who then has none of its own.
    if let Ok(directory) = sandbox::make_runtime_dir(uid.as_raw()) {
        // SAFETY: a child of fork has one thread.
        unsafe { env::set_var(RUNTIME_DIR, directory) };
    }
    setgroups(&groups).expect("setgroups");
    setresgid(gid, gid, gid).expect("setresgid");
    setresuid(uid, uid, uid).expect("setresuid");
    for set in ["CapPrm", "CapEff", "CapAmb"] {
        assert_eq!(
            privilege::capabilities(set).expect("read the capabilities"),
            0,
            "{set}"
        );
    }
    // A change of user clears the flag, and /proc/self would belong to root.
    prctl::set_dumpable(true).expect("PR_SET_DUMPABLE");
}

/// Moves the calling process into a new network namespace with `lo` up. For use in a child.
pub fn new_netns() {
    unshare(CloneFlags::CLONE_NEWNET).expect("unshare the network namespace");
    loopback::up().expect("set lo up");
}

/// Moves the calling process into a cgroup. For use in a child.
pub fn enter_cgroup(cgroup: &Path) {
    fs::write(cgroup.join("cgroup.procs"), "0").expect("enter the cgroup");
}

/// Lets the kernel come on with what it does some time after the last use of an object, such as
/// taking a network namespace down: waits until every processor has passed a quiescent state.
pub fn wait_for_grace_period() {
    const GLOBAL: libc::c_int = 1;
    // SAFETY: membarrier(2) takes numbers. Where the kernel has no such command, there is no wait.
    unsafe { libc::syscall(libc::SYS_membarrier, GLOBAL, 0, 0) };
}
