//! Associated sockets and port 0: Portkeep chooses a port of the block.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::ops::RangeInclusive;
use std::thread;

use portkeep_tests::proc::fork_child;
use portkeep_tests::socket2::Socket;
use portkeep_tests::time_wait::{self, Side};
use portkeep_tests::{Protocol, Sandbox, assert_errno, assert_ok, enable, raw, sock};

use crate::automatic::set_option;
use crate::scene::{Acquired, BLOCK, BOTH, START, acquire, acquire_ports};

/// Binds associated sockets to port 0 until there is no port left.
fn fill(owner: &Acquired, prepare: impl Fn(&Socket)) -> Vec<Socket> {
    let mut sockets = Vec::new();
    loop {
        let socket = owner.associated();
        prepare(&socket);
        match sock::bind_any(&socket, 0) {
            Ok(()) => sockets.push(socket),
            Err(errno) => {
                assert_errno!(Err::<(), i32>(errno), EADDRINUSE);
                assert_eq!(sock::local_port(&socket), 0);
                let conflict = assert_ok!(raw::conflict(&socket));
                assert_eq!((conflict.kind, conflict.port), (raw::CONFLICT_IN_USE, 0));
                return sockets;
            }
        }
    }
}

/// The ports of the sockets; panics if two have the same.
fn distinct_ports(sockets: &[Socket]) -> BTreeSet<u16> {
    let ports: BTreeSet<u16> = sockets.iter().map(sock::local_port).collect();
    assert_eq!(ports.len(), sockets.len(), "a port was given twice");
    ports
}

fn all(ports: RangeInclusive<u16>) -> BTreeSet<u16> {
    ports.collect()
}

pub(crate) fn gives_every_port_once(sandbox: &Sandbox) {
    enable::enable(sandbox);
    for protocol in BOTH {
        let owner = acquire(protocol, 0);
        let mut sockets = fill(&owner, |_| ());
        assert_eq!(distinct_ports(&sockets), all(BLOCK));
        // What is closed is found again, wherever the search stands.
        for index in [3, 0, 7, 3] {
            let freed = sock::local_port(sockets.remove(index));
            let more = fill(&owner, |_| ());
            assert_eq!(distinct_ports(&more), BTreeSet::from([freed]));
            sockets.splice(index..index, more);
        }
        // Whatever lets sockets share a port does not make the choice share one.
        drop(sockets);
        let sharing = fill(&owner, |socket| {
            sock::reuseaddr(socket, true);
            sock::reuseport(socket, true);
        });
        assert_eq!(distinct_ports(&sharing), all(BLOCK));
    }
}

pub(crate) fn fills_the_block_from_many_threads(sandbox: &Sandbox) {
    enable::enable(sandbox);
    for protocol in BOTH {
        let code = fork_child(|| {
            for _ in 0..20 {
                fill_from_threads(&acquire_ports(protocol, 62000..=62063, 0), &[]);
            }
            0
        });
        assert_eq!(code.code(), 0);
    }
}

pub(crate) fn fills_the_block_from_many_threads_around_ports_in_use(sandbox: &Sandbox) {
    enable::enable(sandbox);
    for protocol in BOTH {
        let code = fork_child(|| {
            for _ in 0..20 {
                let owner = acquire_ports(protocol, 62000..=62063, 0);
                let taken: Vec<_> = (62000..=62063)
                    .filter(|port| port % 3 == 0)
                    .map(|port| {
                        let socket = owner.associated();
                        assert_ok!(sock::bind_any(&socket, port));
                        socket
                    })
                    .collect();
                fill_from_threads(&owner, &taken);
            }
            0
        });
        assert_eq!(code.code(), 0);
    }
}

/// Eight threads bind as many sockets as there are ports left. Each must get one.
fn fill_from_threads(owner: &Acquired, taken: &[Socket]) {
    const THREADS: usize = 8;
    let ports = usize::from(owner.instance.count) - taken.len();
    let sockets: Vec<_> = (0..ports).map(|_| owner.associated()).collect();
    thread::scope(|scope| {
        for share in sockets.chunks(ports.div_ceil(THREADS)) {
            scope.spawn(move || {
                for socket in share {
                    assert_ok!(sock::bind_any(socket, 0));
                }
            });
        }
    });
    let (chosen, taken) = (distinct_ports(&sockets), distinct_ports(taken));
    assert!(chosen.is_disjoint(&taken));
    assert_eq!(&chosen | &taken, all(62000..=62063));
    assert_errno!(sock::bind_any(owner.associated(), 0), EADDRINUSE);
}

pub(crate) fn skips_ports_in_use(sandbox: &Sandbox) {
    enable::enable(sandbox);
    for protocol in BOTH {
        let owner = acquire(protocol, raw::PROCESS);
        // Bound to one address or family only, with or without association: in use all the same.
        let specific = owner.associated();
        assert_ok!(sock::bind(
            &specific,
            Ipv4Addr::new(127, 0, 0, 9),
            START + 1
        ));
        let unassociated = crate::scene::socket6(protocol);
        sock::v6only(&unassociated, true);
        assert_ok!(sock::bind_any(&unassociated, START + 4));
        let sockets = fill(&owner, |_| ());
        let expected = &all(BLOCK) - &BTreeSet::from([START + 1, START + 4]);
        assert_eq!(distinct_ports(&sockets), expected);
    }
}

pub(crate) fn skips_time_wait_unless_the_socket_reuses(sandbox: &Sandbox) {
    enable::enable(sandbox);
    for (side, port) in [(Side::Server, START + 2), (Side::Client, START + 5)] {
        assert_eq!(time_wait::leave(side, Ipv4Addr::LOCALHOST, port), port);
    }
    let waiting = BTreeSet::from([START + 2, START + 5]);
    // Not in use, so the block can be had.
    let owner = acquire(Protocol::Tcp, 0);
    let sockets = fill(&owner, |_| ());
    assert_eq!(distinct_ports(&sockets), &all(BLOCK) - &waiting);
    let reusing = fill(&owner, |socket| sock::reuseaddr(socket, true));
    assert_eq!(distinct_ports(&reusing), waiting);
    for port in waiting {
        assert!(time_wait::states(port).contains(&time_wait::TIME_WAIT));
    }
}

/// With `IP_BIND_ADDRESS_NO_PORT` (ip(7)) the kernel would leave port 0 to connect, which would
/// take an automatic port.
pub(crate) fn of_a_late_binding_socket(sandbox: &Sandbox) {
    enable::enable(sandbox);
    for protocol in BOTH {
        let owner = acquire(protocol, 0);
        let sockets = fill(&owner, |socket| {
            set_option(socket, libc::IP_BIND_ADDRESS_NO_PORT, 1);
        });
        assert_eq!(distinct_ports(&sockets), all(BLOCK));
    }
}

pub(crate) fn at_the_end_of_the_port_space(sandbox: &Sandbox) {
    enable::enable(sandbox);
    for protocol in BOTH {
        let owner = acquire_ports(protocol, 65533..=65535, 0);
        assert_eq!(distinct_ports(&fill(&owner, |_| ())), all(65533..=65535));
        let one = acquire_ports(protocol, 1..=1, 0);
        assert_eq!(distinct_ports(&fill(&one, |_| ())), all(1..=1));
    }
}
