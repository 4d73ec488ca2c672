//! Installing at another cgroup than before, with the same BPF file system.

use std::fs;

use portkeep_kernel::install;
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
    options.location.cgroup = Some(sandbox.inside_cgroup());
    let moved = install(&options);
    assert_errno!(sock::bind_any(sock::tcp4(), PORT), EADDRINUSE);
    end.set();
    assert_eq!(holder.wait(), Exit::Code(0));
    println!("{moved:?}");
    assert_free(sandbox);
    assert_works(sandbox);
    assert!(remove(&options.location));
    assert_absent();
}

/// A cgroup takes its programs with it; one of the same name is another one. The kernel detaches
/// them some time after the cgroup has gone, so until then it is an upgrade.
pub(crate) fn after_the_cgroup_was_made_anew(sandbox: &Sandbox) {
    let cgroup = sandbox.cgroup().join("attached");
    let mut options = enable::options(sandbox);
    options.location.cgroup = Some(cgroup.clone());
    for round in 0..3 {
        fs::create_dir(&cgroup).expect("make a cgroup");
        let installed = enable::enable_with(&options);
        assert!(round > 0 || !installed.upgraded);
        let code = proc::in_cgroup(&cgroup, || {
            assert_works(sandbox);
            0
        });
        assert_eq!(code, 0);
        fs::remove_dir(&cgroup).expect("remove the cgroup");
    }
    options.location.cgroup = Some(sandbox.cgroup().to_path_buf());
    assert!(remove(&options.location));
    assert_absent();
}

/// A socket keeps the programs of its cgroup attached when the cgroup has gone. What it reserves
/// stays, and the release hook still tells of its end.
pub(crate) fn while_a_socket_of_the_former_cgroup_reserves(sandbox: &Sandbox) {
    let cgroup = sandbox.cgroup().join("attached");
    let mut options = enable::options(sandbox);
    options.location.cgroup = Some(cgroup.clone());
    fs::create_dir(&cgroup).expect("make a cgroup");
    enable::enable_with(&options);
    proc::enter_cgroup(&cgroup);
    let owner = acquire_port();
    proc::enter_cgroup(&sandbox.inside_cgroup());
    fs::remove_dir(&cgroup).expect("remove the cgroup");
    fs::create_dir(&cgroup).expect("make a cgroup");
    assert!(enable::enable_with(&options).upgraded);
    proc::enter_cgroup(&cgroup);
    assert_errno!(sock::bind_any(sock::tcp4(), PORT), EADDRINUSE);
    drop(owner);
    assert_free(sandbox);
    assert_works(sandbox);
    assert!(remove(&options.location));
    assert_absent();
    proc::enter_cgroup(&sandbox.inside_cgroup());
    fs::remove_dir(&cgroup).expect("remove the cgroup");
}
