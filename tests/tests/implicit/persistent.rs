//! Persistent reservations: associated sockets of an administrator.

use portkeep_tests::{Sandbox, assert_errno, assert_ok, enable, raw, sock};

use crate::scene::{COUNT, Kind, SERVER, START, assert_inside, end_by_reset, server};

/// In this network namespace, and in every one.
pub(crate) fn of_an_administrators_socket(sandbox: &Sandbox) {
    enable::enable(sandbox);
    for flags in [0, raw::EVERY_NETNS] {
        for kind in Kind::all() {
            let _server = server(kind.protocol);
            let keeper = kind.socket();
            let block = assert_ok!(raw::create(&keeper, START, COUNT, flags, &[]));
            let sockets: Vec<_> = (0..=COUNT)
                .map(|_| {
                    let socket = kind.socket();
                    assert_ok!(raw::associate(&socket, block.token));
                    end_by_reset(&socket);
                    socket
                })
                .collect();
            let (late, others) = sockets.split_last().expect("sockets");
            for socket in others {
                assert_ok!(kind.connect(socket, SERVER));
                assert_inside(socket);
            }
            assert_errno!(kind.connect(late, SERVER), EADDRINUSE);
            assert_ok!(raw::delete(&keeper, START, COUNT, flags));
            assert_errno!(kind.connect(late, SERVER), EADDRNOTAVAIL);
            // Those that are bound stay so.
            for socket in others {
                assert_inside(socket);
            }
            drop(sockets);
            assert_ok!(raw::acquire4(&keeper, START, COUNT));
        }
    }
}

/// What is left of a block that was cut has the head's token or a new one; the old token of a part
/// that is gone leads nowhere.
pub(crate) fn of_what_a_cut_leaves(sandbox: &Sandbox) {
    enable::enable(sandbox);
    for kind in Kind::all() {
        let _server = server(kind.protocol);
        let keeper = kind.socket();
        let block = assert_ok!(raw::create(&keeper, START, COUNT, 0, &[]));
        let socket = kind.socket();
        assert_ok!(raw::associate(&socket, block.token));
        end_by_reset(&socket);
        // The head keeps one port.
        assert_ok!(raw::delete(&keeper, START + 1, COUNT - 1, raw::PART));
        assert_ok!(kind.connect(&socket, SERVER));
        assert_eq!(sock::local_port(&socket), START);
        assert_ok!(raw::delete(&keeper, START, 1, raw::PART));
        let late = kind.socket();
        assert_errno!(raw::associate(&late, block.token), EINVAL);
    }
}
