//! The flag `USER`: processes with the owner's effective user id, in its user namespace.

use nix::unistd::{Uid, setresuid};
use portkeep_tests::enable::enable;
use portkeep_tests::proc::{Exit, as_uid, drop_privileges, fork_child};
use portkeep_tests::raw::{self, PROCESS, TREE, USER as SAME_USER};
use portkeep_tests::{Channel, Event, Protocol, Sandbox, assert_errno, assert_ok, libc, sock};

use crate::holder::socket;
use crate::ledger::{USER, sorted};
use crate::user_namespace::{become_user, spawn};

const PORT: u16 = 10000;
const OTHER: u32 = USER - 1;

fn bind(protocol: Protocol) -> i32 {
    let sockets = match protocol {
        Protocol::Tcp => [sock::tcp4(), sock::tcp6()],
        Protocol::Udp => [sock::udp4(), sock::udp6()],
    };
    let [v4, v6] = sockets.map(|socket| sock::bind_any(&socket, PORT).err().unwrap_or(0));
    assert_eq!(v4, v6, "both families");
    v4
}

/// Calls `body` while a process of user `uid` owns the port, in a user namespace if `inside`.
fn while_owned(protocol: Protocol, uid: u32, flags: u32, body: impl FnOnce()) {
    let (acquired, done) = (Event::new(), Event::new());
    let owner = fork_child(|| {
        drop_privileges(uid, uid);
        let socket = socket(protocol);
        assert_ok!(raw::acquire16(&socket, PORT, 1, flags, 0));
        acquired.set();
        done.wait();
        0
    });
    acquired.wait();
    body();
    done.set();
    assert_eq!(owner.wait(), Exit::Code(0));
}

pub(crate) fn any_process_of_the_user_may_bind(sandbox: &Sandbox) {
    enable(sandbox);
    for protocol in [Protocol::Tcp, Protocol::Udp] {
        for flags in [0, PROCESS, TREE, PROCESS | TREE] {
            while_owned(protocol, USER, SAME_USER | flags, || {
                // No relative of the owner's, and one of its children.
                assert_eq!(as_uid(USER, OTHER, || bind(protocol)), 0);
                assert_eq!(as_uid(OTHER, USER, || bind(protocol)), libc::EADDRINUSE);
                assert_eq!(bind(protocol), libc::EADDRINUSE, "root is another user");
                // Nobody else's token: binding by number is all that it gives.
                let token = sorted(sandbox)[0].token;
                let stranger = as_uid(USER, USER, || {
                    assert_errno!(raw::associate(socket(protocol), token), EACCES);
                    assert_errno!(raw::release(socket(protocol), token), EACCES);
                    0
                });
                assert_eq!(stranger, 0);
            });
            while_owned(protocol, USER, flags, || {
                let stranger = as_uid(USER, USER, || bind(protocol));
                assert_eq!(stranger, libc::EADDRINUSE, "without the flag");
            });
        }
    }
}

pub(crate) fn the_effective_user_counts(sandbox: &Sandbox) {
    enable(sandbox);
    while_owned(Protocol::Tcp, USER, SAME_USER, || {
        for (real, effective, errno) in [(OTHER, USER, 0), (USER, OTHER, libc::EADDRINUSE)] {
            let child = fork_child(|| {
                let [real, effective] = [real, effective].map(Uid::from_raw);
                setresuid(real, effective, Uid::from_raw(0)).expect("setresuid");
                bind(Protocol::Tcp)
            });
            assert_eq!(child.code(), errno, "real {real}, effective {effective}");
        }
    });
}

/// An id means the same user only in the same user namespace: whoever makes one there is not the owner.
pub(crate) fn another_user_namespace_is_no_way_in(sandbox: &Sandbox) {
    enable(sandbox);
    let map = format!("0 {USER} 1\n1 200000 10");
    while_owned(Protocol::Udp, USER, SAME_USER, || {
        let inside = spawn(USER, &map, || bind(Protocol::Udp));
        assert_eq!(inside.code(), libc::EADDRINUSE);
    });
    let (own, others) = Channel::pair();
    let done = Event::new();
    let owner = spawn(USER, &map, || {
        let socket = sock::udp4();
        assert_ok!(raw::acquire16(&socket, PORT, 1, SAME_USER, 0));
        for (user, errno) in [(0, 0), (1, libc::EADDRINUSE)] {
            let child = fork_child(|| {
                become_user(user);
                bind(Protocol::Udp)
            });
            assert_eq!(child.code(), errno, "user {user} inside");
        }
        others.send(0);
        done.wait();
        0
    });
    assert_eq!(own.recv(), 0);
    let outside = as_uid(USER, USER, || bind(Protocol::Udp));
    assert_eq!(outside, libc::EADDRINUSE);
    // Another namespace with the same ids is another namespace.
    let twin = spawn(USER, &map, || bind(Protocol::Udp));
    assert_eq!(twin.code(), libc::EADDRINUSE);
    done.set();
    assert_eq!(owner.code(), 0);
}

pub(crate) fn a_claim_changes_the_user(sandbox: &Sandbox) {
    enable(sandbox);
    let socket = sock::tcp4();
    assert_ok!(raw::acquire16(&socket, PORT, 1, SAME_USER, 0));
    let token = sorted(sandbox)[0].token;
    assert_eq!(as_uid(USER, USER, || bind(Protocol::Tcp)), libc::EADDRINUSE);
    let claimer = as_uid(USER, USER, || {
        assert_ok!(raw::claim(&socket, token));
        bind(Protocol::Tcp)
    });
    assert_eq!(claimer, 0);
    assert_eq!(as_uid(USER, USER, || bind(Protocol::Tcp)), 0);
    assert_eq!(bind(Protocol::Tcp), libc::EADDRINUSE, "the user before");
    let [listed] = &sorted(sandbox)[..] else {
        panic!("one reservation");
    };
    assert_eq!(listed.flags, "user");
}

pub(crate) fn only_an_acquire_takes_the_flag(sandbox: &Sandbox) {
    enable(sandbox);
    assert_errno!(raw::create(sock::tcp4(), PORT, 1, SAME_USER, &[]), EINVAL);
    assert_errno!(raw::delete(sock::tcp4(), PORT, 1, SAME_USER), EINVAL);
    assert_eq!(sorted(sandbox), []);
}
