//! Processes in user namespaces.

use std::fs;

use nix::sched::{CloneFlags, unshare};
use nix::unistd::{Gid, Uid, setresgid, setresuid};
use portkeep_tests::Event;
use portkeep_tests::proc::{Child, drop_privileges, fork_child};

/// Runs a closure as root of a new user namespace that user `maker` makes. `map` is written to its
/// uid_map and gid_map, user_namespaces(7), by root outside.
pub(crate) fn spawn(maker: u32, map: &str, body: impl FnOnce() -> i32) -> Child {
    let (made, mapped) = (Event::new(), Event::new());
    let child = fork_child(|| {
        if maker != 0 {
            drop_privileges(maker, maker);
        }
        unshare(CloneFlags::CLONE_NEWUSER).expect("unshare the user namespace");
        made.set();
        mapped.wait();
        become_user(0);
        let status = fs::read_to_string("/proc/self/status").expect("read the status");
        assert!(
            status.contains("CapEff:\t000001ff"),
            "all capabilities: {status}"
        );
        body()
    });
    made.wait();
    for file in ["uid_map", "gid_map"] {
        let path = format!("/proc/{}/{file}", child.pid());
        fs::write(&path, map).unwrap_or_else(|error| panic!("write {map:?} to {path}: {error}"));
    }
    mapped.set();
    child
}

/// Becomes a user of the user namespace; one other than 0 loses its capabilities.
pub(crate) fn become_user(uid: u32) {
    let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(uid));
    setresgid(gid, gid, gid).expect("setresgid");
    setresuid(uid, uid, uid).expect("setresuid");
    // A change of user clears the flag, and /proc/self would belong to root.
    nix::sys::prctl::set_dumpable(true).expect("PR_SET_DUMPABLE");
}
