//! Callers without privilege: told so, and nothing is changed.

use std::fs::File;
use std::os::fd::AsRawFd;

use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::Signal;
use nix::unistd::alarm;
use portkeep_admin::{Error, ErrorKind, inspect, install, remove};
use portkeep_tests::proc::{self, Exit, fork_child};
use portkeep_tests::{Event, Sandbox, enable};

use crate::scene::{assert_absent, assert_empty, assert_no_cgroups, assert_works};

const NOBODY: u32 = 65534;

#[track_caller]
fn assert_not_permitted<T: std::fmt::Debug>(result: Result<T, Error>) {
    let error = result.expect_err("a caller without privilege");
    assert_eq!(error.kind(), ErrorKind::NotPermitted, "{error:?}");
    assert!(
        error.hint().is_some_and(|hint| hint.contains("root")),
        "{error:?}"
    );
}

/// Asserts that `enter`, in a child, leads to where nothing may be done, neither before an
/// installation nor after it.
fn assert_may_do_nothing(sandbox: &Sandbox, enter: impl Fn()) {
    let installation = enable::installation(sandbox);
    let child = fork_child(|| {
        enter();
        assert_not_permitted(install(&enable::options(sandbox)));
        0
    });
    assert_eq!(child.wait(), Exit::Code(0));
    assert_empty(sandbox.bpffs());
    assert_no_cgroups(sandbox);
    assert_absent();

    enable::enable(sandbox);
    let child = fork_child(|| {
        enter();
        assert_not_permitted(install(&enable::options(sandbox)));
        assert_not_permitted(inspect(&installation));
        assert_not_permitted(remove(&installation));
        0
    });
    assert_eq!(child.wait(), Exit::Code(0));
    assert_works(sandbox);
    assert!(remove(&installation).expect("remove"));
}

pub(crate) fn users_may_do_nothing(sandbox: &Sandbox) {
    assert_may_do_nothing(sandbox, || proc::drop_privileges(NOBODY, NOBODY));
}

/// As in a container: the user is root, and has no capability.
pub(crate) fn root_without_capabilities_may_do_nothing(sandbox: &Sandbox) {
    assert_may_do_nothing(sandbox, || {
        // capget(2): version 3, this thread; then effective, permitted and inheritable, twice.
        let header = [0x2008_0522_u32, 0];
        let none = [0_u32; 6];
        // SAFETY: the kernel reads a header and two sets of capabilities, of these sizes.
        let result = unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), none.as_ptr()) };
        assert_eq!(result, 0, "drop the capabilities");
    });
}

pub(crate) fn root_of_a_user_namespace_may_do_nothing(sandbox: &Sandbox) {
    assert_may_do_nothing(sandbox, || {
        unshare(CloneFlags::CLONE_NEWUSER).expect("make a user namespace");
        std::fs::write("/proc/self/uid_map", "0 0 1").expect("map root");
    });
}

/// Whatever a user can lock, root does not wait for.
pub(crate) fn a_user_cannot_lock_root_out(sandbox: &Sandbox) {
    let (locked, end) = (Event::new(), Event::new());
    let user = fork_child(|| {
        proc::drop_privileges(NOBODY, NOBODY);
        let files = [sandbox.bpffs(), sandbox.cgroup()].map(File::open);
        for file in files.iter().flatten() {
            // SAFETY: flock takes a descriptor and a number.
            unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX) };
        }
        locked.set();
        end.wait();
        0
    });
    locked.wait();
    let installer = fork_child(|| {
        // Ends the process, should it wait.
        alarm::set(20);
        enable::enable(sandbox);
        0
    });
    let ended = installer.wait();
    end.set();
    assert_eq!(user.wait(), Exit::Code(0));
    assert_ne!(
        ended,
        Exit::Signal(Signal::SIGALRM as i32),
        "root waits for a user"
    );
    assert_eq!(ended, Exit::Code(0));
}
