//! `connect()` of an associated, unbound socket takes a port of the block.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::thread;

use portkeep_tests::proc::fork_child;
use portkeep_tests::socket2::{Domain, SockAddr};
use portkeep_tests::{Protocol, Sandbox, assert_errno, assert_ok, enable, libc, raw, skip, sock};

use crate::scene::{
    BLOCK, BOTH, COUNT, Kind, Owner, SERVER, assert_inside, end_by_reset, peer, server, set_option,
    socket4,
};

pub(crate) fn of_every_kind(sandbox: &Sandbox) {
    enable::enable(sandbox);
    for kind in Kind::all() {
        let (server, owner) = (
            server(kind.protocol),
            Owner::acquire(kind.protocol, BLOCK, 0),
        );
        // The kernel part deals out a full block, each port once.
        let sockets: Vec<_> = (0..COUNT)
            .map(|_| {
                let socket = owner.associated(kind);
                assert_ok!(kind.connect(&socket, SERVER));
                let port = assert_inside(&socket);
                assert_eq!(peer(kind.protocol, &server, &socket), port, "{kind:?}");
                assert_eq!(raw::associated(&socket), Ok(owner.block.token));
                end_by_reset(&socket);
                socket
            })
            .collect();
        let ports: BTreeSet<_> = sockets.iter().map(sock::local_port).collect();
        assert_eq!(ports, BLOCK.collect(), "{kind:?}");
    }
}

/// `IP_BIND_ADDRESS_NO_PORT` (ip(7)) and an address: Portkeep chooses at bind already, and an address
/// that was set before the association is kept.
pub(crate) fn of_a_late_binding_socket(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let addresses: [IpAddr; 2] = [
        Ipv4Addr::new(127, 0, 0, 9).into(),
        Ipv6Addr::LOCALHOST.into(),
    ];
    for protocol in BOTH {
        for address in addresses {
            let (server, owner) = (server(protocol), Owner::acquire(protocol, BLOCK, 0));
            let kind = Kind::to(protocol, address);
            let socket = kind.socket();
            set_option(&socket, libc::IP_BIND_ADDRESS_NO_PORT, 1);
            assert_ok!(sock::bind(&socket, address, 0));
            if sock::local_port(&socket) != 0 {
                // UDP takes a port all the same (ip(7): connection-oriented sockets only).
                assert_errno!(raw::associate(&socket, owner.block.token), EINVAL);
                continue;
            }
            owner.associate(&socket);
            assert_ok!(kind.connect(&socket, SERVER));
            let port = assert_inside(&socket);
            let local = socket.local_addr().expect("getsockname").as_socket();
            assert_eq!(local.map(|local| local.ip()), Some(address));
            assert_eq!(peer(protocol, &server, &socket), port);
            end_by_reset(&socket);
        }
    }
}

/// `sendto(MSG_FASTOPEN)` (tcp(7)) connects.
pub(crate) fn by_fast_open(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let (server, owner) = (
        server(Protocol::Tcp),
        Owner::acquire(Protocol::Tcp, BLOCK, 0),
    );
    for kind in Kind::all()
        .into_iter()
        .filter(|kind| kind.protocol == Protocol::Tcp)
    {
        let socket = owner.associated(kind);
        let to = SockAddr::from(std::net::SocketAddr::new(kind.target, SERVER));
        socket
            .send_to_with_flags(b"x", &to, libc::MSG_FASTOPEN)
            .expect("sendto(MSG_FASTOPEN)");
        let port = assert_inside(&socket);
        assert_eq!(peer(Protocol::Tcp, &server, &socket), port, "{kind:?}");
        end_by_reset(&socket);

        // TCP_FASTOPEN_CONNECT: connect() only notes the address, and the first data goes with it.
        let socket = owner.associated(kind);
        let option = libc::TCP_FASTOPEN_CONNECT;
        assert_ok!(raw::set_bytes(
            &socket,
            libc::IPPROTO_TCP,
            option,
            &1_i32.to_ne_bytes()
        ));
        assert_ok!(kind.connect(&socket, SERVER));
        socket.send(b"x").expect("send");
        let port = assert_inside(&socket);
        assert_eq!(peer(Protocol::Tcp, &server, &socket), port, "{kind:?}");
        end_by_reset(&socket);
    }
}

/// A Multipath TCP socket cannot be associated, so there is nothing to choose for it.
pub(crate) fn not_of_multipath_sockets(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let Ok(socket) = sock::mptcp(Domain::IPV4) else {
        skip("no MPTCP here");
    };
    let (_server, owner) = (
        server(Protocol::Tcp),
        Owner::acquire(Protocol::Tcp, BLOCK, 0),
    );
    assert_errno!(raw::associate(&socket, owner.block.token), EOPNOTSUPP);
    assert_ok!(sock::connect(&socket, Ipv4Addr::LOCALHOST, SERVER));
    assert!(!BLOCK.contains(&sock::local_port(&socket)));
}

/// Threads that connect at once get different ports, and all of them.
pub(crate) fn from_many_threads(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let checked = fork_child(|| {
        for kind in Kind::all() {
            for _ in 0..20 {
                let _server = server(kind.protocol);
                let owner = Owner::acquire(kind.protocol, 62000..=62031, 0);
                let sockets: Vec<_> = (0..32).map(|_| owner.associated(kind)).collect();
                thread::scope(|scope| {
                    for share in sockets.chunks(8) {
                        scope.spawn(move || {
                            for socket in share {
                                end_by_reset(socket);
                                assert_ok!(kind.connect(socket, SERVER));
                            }
                        });
                    }
                });
                let ports: BTreeSet<_> = sockets.iter().map(sock::local_port).collect();
                assert_eq!(ports, (62000..=62031).collect(), "{kind:?}");
            }
        }
        0
    });
    assert_eq!(checked.code(), 0);
}

/// Neither a block of the process or of its tree nor one that others have captures other sockets.
pub(crate) fn not_of_unassociated_sockets(sandbox: &Sandbox) {
    enable::enable(sandbox);
    for flags in [0, raw::PROCESS, raw::TREE] {
        for kind in Kind::all() {
            let _server = server(kind.protocol);
            let owner = Owner::acquire(kind.protocol, BLOCK, flags);
            let socket = kind.socket();
            assert_ok!(kind.connect(&socket, SERVER));
            let port = sock::local_port(&socket);
            assert!((32768..=60999).contains(&port), "{kind:?}: {port}");
            end_by_reset(&socket);
            // One that another call of Portkeep's left something with.
            let socket = kind.socket();
            assert_eq!(raw::associated(&socket), Ok(0));
            assert_errno!(raw::acquire4(&socket, *BLOCK.start(), 1), EADDRINUSE);
            assert_ok!(kind.connect(&socket, SERVER));
            let port = sock::local_port(&socket);
            assert!((32768..=60999).contains(&port), "{kind:?}: {port}");
            end_by_reset(&socket);
            drop(owner);
        }
    }
}

/// A socket that is bound in the block already stays where it is.
pub(crate) fn not_of_bound_sockets(sandbox: &Sandbox) {
    enable::enable(sandbox);
    for kind in Kind::all() {
        let _server = server(kind.protocol);
        let owner = Owner::acquire(kind.protocol, BLOCK, 0);
        for port in BLOCK.rev() {
            let socket = owner.associated(kind);
            assert_ok!(sock::bind_any(&socket, port));
            assert_ok!(kind.connect(&socket, SERVER));
            assert_eq!(sock::local_port(&socket), port, "{kind:?}");
            end_by_reset(&socket);
        }
    }
}

/// `sendto()` and `listen()` bind before any hook of the kernel: programs on the bare ABI bind first.
pub(crate) fn not_by_sendto_and_listen(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let owner = Owner::acquire(Protocol::Udp, BLOCK, 0);
    let socket = socket4(Protocol::Udp);
    owner.associate(&socket);
    let to = SockAddr::from(std::net::SocketAddr::from((Ipv4Addr::LOCALHOST, SERVER)));
    socket.send_to(b"x", &to).expect("sendto");
    assert!((32768..=60999).contains(&sock::local_port(&socket)));

    let owner = Owner::acquire(Protocol::Tcp, BLOCK, 0);
    let socket = socket4(Protocol::Tcp);
    owner.associate(&socket);
    assert_ok!(sock::listen(&socket));
    assert!((32768..=60999).contains(&sock::local_port(&socket)));
}
