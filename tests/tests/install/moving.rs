//! Installing at another cgroup than before, with the same BPF file system.

use std::fs;

use portkeep_admin::install;
use portkeep_tests::proc::{self, Exit, fork_child};
use portkeep_tests::{Event, Sandbox, assert_errno, enable, sock};

use crate::scene::{PORT, acquire_port, assert_absent, assert_free, assert_works, remove};

/// A reservation whose socket the release hook no longer sees would never end. So either the
/// installation stays where it is, or what is reserved ends all the same.
pub(crate) fn to_a_cgroup_that_others_are_outside_of(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let beside = sandbox.cgroup().join("beside");
    fs::create_dir(&beside).expect("make a cgroup");
    let (acquired, end) = (Event::new(), Event::new());
    let holder = fork_child(|| {
        proc::enter_cgroup(&beside);
        let _owner = acquire_port();
        acquired.set();
        end.wait();
        0
    });
    acquired.wait();
    let mut options = enable::options(sandbox);
    options.installation.cgroup = Some(sandbox.inside_cgroup());
    let moved = install(&options);
    assert_errno!(sock::bind_any(sock::tcp4(), PORT), EADDRINUSE);
    end.set();
    assert_eq!(holder.wait(), Exit::Code(0));
    println!("{moved:?}");
    assert_free(sandbox);
    assert_works(sandbox);
    assert!(remove(&options.installation));
    assert_absent();
}

/// A cgroup takes its programs with it; one of the same name is another one. What sockets of the
/// former one reserve ends, for no hook tells of their end any more.
pub(crate) fn after_the_cgroup_was_made_anew(sandbox: &Sandbox) {
    let cgroup = sandbox.cgroup().join("attached");
    let mut options = enable::options(sandbox);
    options.installation.cgroup = Some(cgroup.clone());
    let mut former = Vec::new();
    for _ in 0..3 {
        fs::create_dir(&cgroup).expect("make a cgroup");
        let installed = enable::enable_with(&options);
        assert!(!installed.upgraded);
        proc::enter_cgroup(&cgroup);
        assert_works(sandbox);
        former.push(acquire_port());
        proc::enter_cgroup(&sandbox.inside_cgroup());
        fs::remove_dir(&cgroup).expect("remove the cgroup");
    }
    options.installation.cgroup = Some(sandbox.cgroup().to_path_buf());
    assert!(!enable::enable_with(&options).upgraded);
    assert_works(sandbox);
    drop(former);
    assert_works(sandbox);
    assert!(remove(&options.installation));
    assert_absent();
}
