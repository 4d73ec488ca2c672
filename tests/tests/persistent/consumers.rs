//! Who may bind in a persistent reservation.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::unistd::{Gid, setgroups};
use portkeep_tests::enable::enable;
use portkeep_tests::libc::EADDRINUSE;
use portkeep_tests::raw::{self, CONFLICT_RESERVED, cgroup, group, user};
use portkeep_tests::{Sandbox, assert_errno, assert_ok, proc, sock};

use crate::ledger::USER;

const PORT: u16 = 10100;

/// What a process of this user, group, supplementary groups and cgroup gets from binding.
fn bind(sandbox: &Sandbox, uid: u32, gid: u32, groups: &[u32], cgroup: Option<&Path>) -> i32 {
    let inside = sandbox.inside_cgroup();
    proc::fork_child(|| {
        proc::enter_cgroup(cgroup.unwrap_or(&inside));
        if uid != 0 {
            proc::drop_privileges_with(uid, gid, groups);
        } else {
            let groups: Vec<_> = groups.iter().copied().map(Gid::from_raw).collect();
            setgroups(&groups).expect("setgroups");
        }
        let mut errno = 0;
        for socket in [sock::tcp4(), sock::tcp6()] {
            if let Err(refused) = sock::bind_any(&socket, PORT) {
                let conflict = assert_ok!(raw::conflict(&socket));
                assert_eq!((conflict.port, conflict.kind), (PORT, CONFLICT_RESERVED));
                errno = refused;
            }
        }
        errno
    })
    .code()
}

fn id_of(cgroup: &Path) -> u64 {
    fs::metadata(cgroup).expect("look at the cgroup").ino()
}

pub(crate) fn of_each_kind(sandbox: &Sandbox) {
    enable(sandbox);
    let unit = sandbox.cgroup().join("unit");
    let child = unit.join("child");
    fs::create_dir_all(&child).expect("make cgroups");
    let many: Vec<u32> = (2000..2100).collect();
    let consumers = [user(1001), group(1002), group(2057), cgroup(id_of(&unit))];
    assert_ok!(raw::create(sock::tcp4(), PORT, 1, 0, &consumers));
    let bind = |uid, gid, groups: &[u32], cgroup| bind(sandbox, uid, gid, groups, cgroup);
    assert_eq!(bind(1001, 9, &[], None), 0, "the user");
    assert_eq!(bind(USER, 1002, &[], None), 0, "the effective group");
    assert_eq!(bind(USER, 9, &[5, 2057], None), 0, "a supplementary group");
    assert_eq!(bind(USER, 9, &many, None), 0, "one group of many");
    assert_eq!(bind(USER, 9, &[], Some(&unit)), 0, "the cgroup");
    assert_eq!(bind(USER, 9, &[], Some(&child)), 0, "a child of the cgroup");
    assert_eq!(bind(USER, 9, &[], None), EADDRINUSE, "a stranger");
    assert_eq!(
        bind(USER, 9, &[1001, 2056, 2058], None),
        EADDRINUSE,
        "other groups"
    );
    assert_eq!(
        bind(1002, 1001, &[], None),
        EADDRINUSE,
        "the numbers of another kind"
    );
    assert_eq!(bind(0, 0, &[], None), EADDRINUSE, "root");
    assert_eq!(bind(0, 0, &[2057], None), 0, "root in the group");
    assert_ok!(raw::delete(sock::tcp4(), PORT, 1, 0));
    assert_eq!(bind(USER, 9, &[], None), 0, "afterwards");
    fs::remove_dir(&child).expect("remove the cgroup");
    fs::remove_dir(&unit).expect("remove the cgroup");
}

/// A named user's name is in the refusal; without any, the creator's.
pub(crate) fn none(sandbox: &Sandbox) {
    enable(sandbox);
    for (consumers, owner) in [(vec![], 0), (vec![group(7), user(1001), user(1002)], 1001)] {
        assert_ok!(raw::create(sock::tcp4(), PORT, 1, 0, &consumers));
        assert_eq!(bind(sandbox, 0, 0, &[], None), EADDRINUSE);
        assert_eq!(bind(sandbox, USER, USER, &[], None), EADDRINUSE);
        let socket = sock::tcp4();
        assert_errno!(sock::bind_any(&socket, PORT), EADDRINUSE);
        let conflict = assert_ok!(raw::conflict(&socket));
        assert_eq!((conflict.owner_pid, conflict.owner_uid), (0, owner));
        assert_ne!(conflict.since, 0);
        assert_ok!(raw::delete(sock::tcp4(), PORT, 1, 0));
    }
}

/// The root cgroup has every process: what is left is to keep automatic choice off.
pub(crate) fn everybody(sandbox: &Sandbox) {
    enable(sandbox);
    assert_ok!(raw::create(sock::tcp4(), PORT, 1, 0, &[cgroup(1)]));
    assert_eq!(bind(sandbox, USER, USER, &[], None), 0);
    assert_eq!(bind(sandbox, 0, 0, &[], None), 0);
    assert_errno!(raw::acquire4(sock::tcp4(), PORT, 1), EADDRINUSE);
    let refused = proc::as_uid(USER, USER, || {
        assert_errno!(raw::acquire4(sock::tcp4(), PORT, 1), EADDRINUSE);
        assert_errno!(raw::delete(sock::tcp4(), PORT, 1, 0), EACCES);
        0
    });
    assert_eq!(refused, 0);
}
