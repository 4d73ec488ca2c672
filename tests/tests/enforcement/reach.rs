//! How far enforcement reaches: the sockets of the cgroups below the attach point, in the network
//! namespace and for the protocol of the reservation, on its ports.

use std::fs;

use portkeep_tests::proc::{Exit, fork_child};
use portkeep_tests::{Channel, Event, Sandbox, assert_errno, assert_ok, enable, proc, raw, sock};

use crate::kinds::{Kind, assert_all};
use crate::scene::{BOTH, END, START, acquire, socket4, try_bind};

pub(crate) fn sockets_made_before_the_kernel_part_are_refused(sandbox: &Sandbox) {
    let before: Vec<_> = BOTH
        .into_iter()
        .flat_map(Kind::all)
        .map(|kind| (kind, kind.socket()))
        .collect();
    enable::enable(sandbox);
    let owners = BOTH.map(|protocol| acquire(protocol, 0));
    for (kind, socket) in &before {
        let errno = kind.bind_socket(socket, START);
        assert_eq!(errno, libc::EADDRINUSE, "{kind:?}");
    }
    drop(owners);
    for (kind, socket) in before {
        assert_eq!(kind.bind_socket(&socket, START), 0, "{kind:?}");
    }
}

pub(crate) fn a_socket_keeps_the_cgroup_it_was_made_in(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let outside = sandbox.outside_cgroup();
    for protocol in BOTH {
        let _owner = acquire(protocol, 0);
        let made_inside = socket4(protocol);
        let code = proc::in_cgroup(&outside, || {
            assert_errno!(sock::bind_any(&made_inside, START), EADDRINUSE);
            assert_ok!(sock::bind_any(&made_inside, END + 1));
            0
        });
        assert_eq!(code, 0);
    }
}

pub(crate) fn cgroups_made_later_are_in_it(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let owners = BOTH.map(|protocol| acquire(protocol, 0));
    let later = sandbox.cgroup().join("later/and/deeper");
    fs::create_dir_all(&later).expect("make cgroups");
    let code = proc::in_cgroup(&later, || {
        for protocol in BOTH {
            assert_all(protocol, START, libc::EADDRINUSE);
        }
        // And those who live there may reserve.
        assert_ok!(raw::acquire(sock::tcp4(), 0, 1));
        0
    });
    assert_eq!(code, 0);
    drop(owners);
}

pub(crate) fn other_cgroups_are_not(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let owners = BOTH.map(|protocol| acquire(protocol, 0));
    let code = proc::in_cgroup(&sandbox.outside_cgroup(), || {
        for protocol in BOTH {
            assert_all(protocol, START, 0);
        }
        0
    });
    assert_eq!(code, 0);
    drop(owners);
}

pub(crate) fn other_namespaces_are_not(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let owners = BOTH.map(|protocol| acquire(protocol, 0));
    let code = proc::in_netns(|| {
        for protocol in BOTH {
            assert_all(protocol, START, 0);
            // The same ports are another reservation there.
            let own = acquire(protocol, 0);
            assert_all(protocol, START, libc::EADDRINUSE);
            drop(own);
            assert_all(protocol, START, 0);
        }
        0
    });
    assert_eq!(code, 0);
    for protocol in BOTH {
        assert_all(protocol, START, libc::EADDRINUSE);
    }
    drop(owners);

    // A reservation there is none here, although it is in the same lists and maps.
    let (here, there) = Channel::pair();
    let end = Event::new();
    let child = fork_child(|| {
        proc::new_netns();
        let _owners = BOTH.map(|protocol| acquire(protocol, 0));
        there.send(0);
        end.wait();
        0
    });
    assert_eq!(here.recv(), 0);
    for protocol in BOTH {
        assert_all(protocol, START, 0);
    }
    end.set();
    assert_eq!(child.wait(), Exit::Code(0));
}

pub(crate) fn the_other_protocol_and_the_neighbours_are_not(sandbox: &Sandbox) {
    enable::enable(sandbox);
    for (protocol, other) in BOTH.into_iter().zip(BOTH.into_iter().rev()) {
        let _owner = acquire(protocol, 0);
        let refused: Vec<u16> = (1024..=65535)
            .filter(|&port| try_bind(protocol, port) != 0)
            .collect();
        assert_eq!(refused, (START..=END).collect::<Vec<_>>());
        for port in START - 1..=END + 1 {
            assert_all(other, port, 0);
        }
    }
}
