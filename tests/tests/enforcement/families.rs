//! One reservation serves IPv4 and IPv6, whichever the acquiring socket is of.

use portkeep_tests::{Sandbox, assert_errno, assert_ok, enable, raw, sock};

use crate::scene::{BLOCK, BOTH, COUNT, END, START, socket4, socket6};

pub(crate) fn one_reservation_serves_both(sandbox: &Sandbox) {
    enable::enable(sandbox);
    for protocol in BOTH {
        for (acquirer, others) in [
            (socket4(protocol), socket6 as fn(_) -> _),
            (socket6(protocol), socket4),
        ] {
            let instance = assert_ok!(raw::acquire(&acquirer, START, COUNT));
            let other = others(protocol);
            assert_ok!(raw::associate(&other, instance.token));
            assert_errno!(sock::bind_any(&other, END + 1), EADDRNOTAVAIL);
            assert_ok!(sock::bind_any(&other, 0));
            assert!(BLOCK.contains(&sock::local_port(&other)));
            // The families share the ports, so no other socket gets the same one.
            let mut ports = vec![sock::local_port(&other)];
            let mut sockets = vec![other];
            for turn in 1..COUNT {
                let socket = if turn % 2 == 0 {
                    socket4(protocol)
                } else {
                    let socket = socket6(protocol);
                    sock::v6only(&socket, turn % 4 == 1);
                    socket
                };
                assert_ok!(raw::associate(&socket, instance.token));
                assert_ok!(sock::bind_any(&socket, 0));
                ports.push(sock::local_port(&socket));
                sockets.push(socket);
            }
            ports.sort_unstable();
            assert_eq!(ports, BLOCK.collect::<Vec<_>>());
            assert_ok!(raw::release(others(protocol), instance.token));
        }
    }
}
