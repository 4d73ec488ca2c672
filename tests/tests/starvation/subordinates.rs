//! The user ids that subuid(5) gives a user: whatever runs as them counts as himself.

use std::fs;

use nix::mount::{MsFlags, mount};
use portkeep_tests::proc::{self, Child};
use portkeep_tests::{Channel, Sandbox, assert_errno, assert_ok, enable, libc, raw, sock};

use crate::stage::{USER, hold};

/// What `useradd` gives.
const FIRST: u32 = 100_000;
const COUNT: u32 = 65_536;

const QUOTA: u16 = 4096;

/// Enables Portkeep where USER and the one behind him have subordinate ids.
fn enable_with_subordinates(sandbox: &Sandbox) {
    let file = sandbox.state_dir().join("subuid");
    let next = FIRST + COUNT;
    let text = format!("{USER}:{FIRST}:{COUNT}\n{}:{next}:{COUNT}\n", USER + 1);
    fs::write(&file, text).expect("write the file");
    if !std::path::Path::new("/etc/subuid").exists() {
        portkeep_tests::skip("no /etc/subuid to mount over");
    }
    let none = None::<&str>;
    mount(Some(&file), "/etc/subuid", none, MsFlags::MS_BIND, none).expect("mount");
    enable::enable(sandbox);
}

/// A process of a user's that holds so many ports from `start` on.
fn holder(uid: u32, start: u16, count: u16) -> Child {
    hold(uid, || {
        let socket = sock::tcp4();
        assert_ok!(raw::acquire4(&socket, start, count));
        vec![socket]
    })
}

fn acquire_as(uid: u32, start: u16, count: u16) -> i32 {
    proc::as_uid(uid, uid, || {
        let socket = sock::tcp4();
        match raw::acquire4(&socket, start, count) {
            Ok(()) => 0,
            Err(errno) => {
                let kind = assert_ok!(raw::conflict(&socket)).kind;
                assert_eq!(kind == raw::CONFLICT_QUOTA, errno == libc::EDQUOT);
                errno
            }
        }
    })
}

pub(crate) fn count_as_their_owner(sandbox: &Sandbox) {
    enable_with_subordinates(sandbox);
    // Of the first, the last and one amid of the range.
    let uids = [USER, FIRST, FIRST + 4711, FIRST + COUNT - 1];
    let holders: Vec<_> = (2..)
        .zip(uids)
        .map(|(thousand, uid)| holder(uid, thousand * 1000, 1000))
        .collect();
    for uid in [USER, FIRST, FIRST + 1, FIRST + COUNT - 1] {
        assert_eq!(acquire_as(uid, 20_000, 97), libc::EDQUOT, "{uid}");
        assert_eq!(acquire_as(uid, 20_000, 96), 0, "{uid}");
    }
    // His neighbours, on both sides of the range, have quotas of their own.
    for uid in [FIRST - 1, FIRST + COUNT, USER + 1, USER + 2] {
        assert_eq!(acquire_as(uid, 20_000, QUOTA), 0, "{uid}");
    }
    drop(holders);
    assert_eq!(acquire_as(USER, 20_000, QUOTA), 0);
}

/// A set-user-ID program of each, which the user runs outside of his namespace.
pub(crate) fn by_programs_that_set_the_user_id(sandbox: &Sandbox) {
    enable_with_subordinates(sandbox);
    let (own, others) = Channel::pair();
    let children: Vec<_> = (0..8_u16)
        .map(|index| {
            let others = &others;
            proc::fork_child(move || {
                // What exec of a set-user-ID file does: effective and saved id, not the real one.
                let id = nix::unistd::Uid::from_raw(FIRST + u32::from(index));
                let real = nix::unistd::Uid::from_raw(USER);
                nix::unistd::setgroups(&[]).expect("setgroups");
                nix::unistd::setresuid(real, id, id).expect("setresuid");
                let socket = sock::tcp4();
                let first = raw::acquire4(&socket, 2000 + index * (QUOTA / 2), QUOTA / 2);
                // And then all three.
                nix::unistd::setresuid(id, id, id).expect("setresuid");
                let second = raw::acquire4(&socket, 20_000 + index * (QUOTA / 4), QUOTA / 4);
                others.send(u64::from(first.is_ok()) * 2 + u64::from(second.is_ok()));
                loop {
                    nix::unistd::pause();
                }
            })
        })
        .collect();
    let quarters: u64 = children.iter().map(|_| own.recv()).sum();
    assert!(quarters <= 4, "{quarters} quarters of a quota");
    assert!(quarters >= 3, "{quarters} quarters of a quota");
    drop(children);
    let user = proc::as_uid(USER, USER, || {
        let socket = sock::tcp4();
        assert_ok!(raw::acquire4(&socket, 20_000, QUOTA));
        assert_errno!(raw::acquire4(&socket, 30_000, 1), EDQUOT);
        0
    });
    assert_eq!(user, 0);
}
