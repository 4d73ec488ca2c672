//! Starting and ending the processes of a history.

use std::fs;
use std::os::fd::{AsFd, FromRawFd, OwnedFd};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::{ForkResult, Gid, Pid, Uid, fork, setresgid, setresuid};
use portkeep_tests::{Event, libc, proc};

use crate::model::BOBS_GROUP;
use crate::operation::Person;
use crate::wire::Wire;

/// A process, seen from the trial.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) wire: Wire,
    /// Of a process that is no child of ours there is no other way to await its end.
    pidfd: OwnedFd,
    pub(crate) pid: u32,
}

/// Makes the trial the parent of processes that lose theirs.
pub(crate) fn adopt_orphans() {
    prctl::set_child_subreaper(true).expect("PR_SET_CHILD_SUBREAPER");
}

/// Forgets the processes that have ended.
pub(crate) fn reap() {
    while waitpid(None, Some(WaitPidFlag::WNOHANG)).is_ok_and(|it| it.pid().is_some()) {}
}

impl Worker {
    /// Starts a process that serves as this person. `in_new_netns` is called if it has a network
    /// namespace of its own.
    pub(crate) fn start(person: Person, in_new_netns: fn(), serve: fn(Wire) -> !) -> Worker {
        let (ours, theirs) = Wire::pair();
        let pid = spawn(person, theirs, in_new_netns, serve);
        Worker::new(ours, pid)
    }

    /// One that another worker has forked.
    pub(crate) fn new(wire: Wire, pid: u32) -> Worker {
        // SAFETY: pidfd_open takes two numbers; the process has not been told to end.
        let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
        let fd = Errno::result(fd).expect("pidfd_open");
        // SAFETY: the kernel has just made this descriptor for us; it fits an int, as all do.
        let pidfd = unsafe { OwnedFd::from_raw_fd(fd as i32) };
        Worker { wire, pidfd, pid }
    }

    pub(crate) fn kill(&self) {
        let _ = kill(Pid::from_raw(self.pid.cast_signed()), Signal::SIGKILL);
    }

    /// A process has closed everything when its descriptor becomes readable.
    pub(crate) fn await_end(&self) {
        let timeout = PollTimeout::try_from(30_000).expect("a poll timeout");
        let mut fds = [PollFd::new(self.pidfd.as_fd(), PollFlags::POLLIN)];
        let ended = poll(&mut fds, timeout).expect("poll the pidfd");
        assert_eq!(ended, 1, "process {} does not end", self.pid);
    }
}

/// Starts a process that serves as this person.
fn spawn(person: Person, wire: Wire, in_new_netns: fn(), serve: fn(Wire) -> !) -> u32 {
    let (made, mapped) = (Event::new(), Event::new());
    // SAFETY: the body of a root trial has one thread, so the child may do whatever it could.
    let child = match unsafe { fork() }.expect("fork") {
        ForkResult::Child => {
            match person {
                Person::Root => {}
                Person::Alice => proc::drop_privileges(person.uid(), person.uid()),
                Person::Bob => {
                    proc::drop_privileges_with(person.uid(), person.uid(), &[BOBS_GROUP]);
                }
                Person::Container => {
                    let maker = Person::Alice.uid();
                    proc::drop_privileges(maker, maker);
                    unshare(CloneFlags::CLONE_NEWUSER).expect("unshare the user namespace");
                    made.set();
                    mapped.wait();
                    setresgid(Gid::from_raw(0), Gid::from_raw(0), Gid::from_raw(0))
                        .expect("setresgid");
                    setresuid(Uid::from_raw(0), Uid::from_raw(0), Uid::from_raw(0))
                        .expect("setresuid");
                    proc::new_netns();
                    in_new_netns();
                }
            }
            serve(wire)
        }
        ForkResult::Parent { child } => child.as_raw().cast_unsigned(),
    };
    if person == Person::Container {
        made.wait();
        for file in ["uid_map", "gid_map"] {
            let map = format!("0 {} 1000", person.uid());
            fs::write(format!("/proc/{child}/{file}"), map).expect("write the map of ids");
        }
        mapped.set();
    }
    child
}
