//! Associated sockets and explicit ports.

use std::net::Ipv4Addr;

use portkeep_tests::ports::{self, PortMap};
use portkeep_tests::proc::fork_child;
use portkeep_tests::{Sandbox, assert_errno, assert_ok, enable, raw, sock};

use crate::kinds::Kind;
use crate::scene::{BLOCK, BOTH, END, START, acquire, acquire_ports, socket4};

pub(crate) fn explicit_ports_of_the_block(sandbox: &Sandbox) {
    enable::enable(sandbox);
    for protocol in BOTH {
        let owner = acquire(protocol, 0);
        for kind in Kind::all(protocol) {
            for port in BLOCK {
                let socket = kind.socket();
                owner.associate(&socket);
                assert_eq!(kind.bind_socket(&socket, port), 0, "{kind:?} to {port}");
                assert_eq!(raw::associated(&socket), Ok(owner.instance.token));
            }
        }
        assert_eq!(ports::map(sandbox), PortMap::new([(protocol, BLOCK)]));
    }
}

pub(crate) fn ports_outside_are_not_available(sandbox: &Sandbox) {
    enable::enable(sandbox);
    for protocol in BOTH {
        let owner = acquire(protocol, raw::PROCESS);
        let _other = acquire_ports(protocol, 62000..=62000, raw::PROCESS);
        for kind in Kind::all(protocol) {
            let socket = kind.socket();
            owner.associate(&socket);
            // Free ones, a privileged one, and one of another reservation of the same process.
            for port in [START - 1, END + 1, 80, 1024, 65535, 62000] {
                let errno = kind.bind_socket(&socket, port);
                assert_eq!(errno, libc::EADDRNOTAVAIL, "{kind:?} to {port}");
            }
            assert_eq!(kind.bind_socket(&socket, START), 0, "{kind:?}");
        }
    }
}

pub(crate) fn several_sockets_share_a_port(sandbox: &Sandbox) {
    enable::enable(sandbox);
    for protocol in BOTH {
        let owner = acquire(protocol, 0);
        let sharing = [(); 4].map(|()| {
            let socket = owner.associated();
            sock::reuseport(&socket, true);
            assert_ok!(sock::bind_any(&socket, START));
            socket
        });
        assert!(
            sharing
                .iter()
                .all(|socket| sock::local_port(socket) == START)
        );
        // One socket an address, without any option.
        let addresses = [1, 2, 3].map(|last| Ipv4Addr::new(127, 0, 0, last));
        let sockets = addresses.map(|address| {
            let socket = owner.associated();
            assert_ok!(sock::bind(&socket, address, END));
            socket
        });
        assert!(sockets.iter().all(|socket| sock::local_port(socket) == END));
        // The kernel's own rules still hold among them.
        assert_errno!(sock::bind_any(owner.associated(), START), EADDRINUSE);
        assert_errno!(
            sock::bind(owner.associated(), addresses[0], END),
            EADDRINUSE
        );
    }
}

pub(crate) fn a_bind_that_fails_leaves_the_block_whole(sandbox: &Sandbox) {
    enable::enable(sandbox);
    // TEST-NET-1 of RFC 5737: no address of this host.
    let foreign = Ipv4Addr::new(192, 0, 2, 1);
    for protocol in BOTH {
        let owner = acquire(protocol, 0);
        let unlucky = owner.associated();
        for _ in 0..3 {
            assert_errno!(sock::bind(&unlucky, foreign, 0), EADDRNOTAVAIL);
            assert_eq!(sock::local_port(&unlucky), 0);
        }
        let sockets: Vec<_> = BLOCK.map(|_| owner.associated()).collect();
        for socket in &sockets {
            assert_ok!(sock::bind_any(socket, 0));
        }
        assert_errno!(sock::bind_any(&unlucky, 0), EADDRINUSE);
    }
}

pub(crate) fn associating_again_replaces(sandbox: &Sandbox) {
    enable::enable(sandbox);
    for protocol in BOTH {
        let (first, second) = (
            acquire(protocol, 0),
            acquire_ports(protocol, 62000..=62000, 0),
        );
        let socket = socket4(protocol);
        assert_eq!(raw::associated(&socket), Ok(0));
        first.associate(&socket);
        second.associate(&socket);
        assert_eq!(raw::associated(&socket), Ok(second.instance.token));
        assert_errno!(sock::bind_any(&socket, START), EADDRNOTAVAIL);
        assert_ok!(sock::bind_any(&socket, 0));
        assert_eq!(sock::local_port(&socket), 62000);
        // Not once it is bound.
        assert_errno!(raw::associate(&socket, first.instance.token), EINVAL);
        assert_eq!(raw::associated(&socket), Ok(second.instance.token));
    }
}

/// The right is the socket's: the owner gives it away with the socket.
pub(crate) fn a_stranger_with_an_associated_socket_may_bind(sandbox: &Sandbox) {
    enable::enable(sandbox);
    for protocol in BOTH {
        let owner = acquire(protocol, 0);
        let (with, without) = (owner.associated(), socket4(protocol));
        let child = fork_child(|| {
            assert_errno!(sock::bind_any(&without, START), EADDRINUSE);
            assert_ok!(sock::bind_any(&with, 0));
            0
        });
        assert_eq!(child.code(), 0);
        assert!(BLOCK.contains(&sock::local_port(&with)));
    }
}
