//! Where the automatic range and reservations meet.

use std::net::Ipv4Addr;

use portkeep_tests::ports::{self, PortMap};
use portkeep_tests::{Protocol, Sandbox, assert_errno, assert_ok, enable, raw, skip_before, sock};

use crate::automatic::{set, set_option};
use crate::scene::{BOTH, acquire_ports, socket4};

pub(crate) fn unprotected_ports_cannot_be_reserved(sandbox: &Sandbox) {
    set("ip_local_port_range", "40000 40031");
    set("ip_local_reserved_ports", "40008-40023");
    enable::enable(sandbox);
    for protocol in BOTH {
        for (start, count, in_the_way) in [
            (40000, 1, 40000),
            (39999, 2, 40000),
            (40007, 2, 40007),
            (40008, 17, 40024),
            (40031, 2, 40031),
            (39000, 2000, 40000),
        ] {
            let socket = socket4(protocol);
            assert_errno!(raw::acquire4(&socket, start, count), EADDRNOTAVAIL);
            let conflict = assert_ok!(raw::conflict(&socket));
            assert_eq!(
                (conflict.kind, conflict.port),
                (raw::CONFLICT_AUTOMATIC, in_the_way)
            );
        }
        assert_eq!(ports::map(sandbox), PortMap::default());
        for ports in [39999..=39999, 40032..=40032, 40008..=40023] {
            drop(acquire_ports(protocol, ports, 0));
        }
    }
}

pub(crate) fn wildcards_avoid_unprotected_ports(sandbox: &Sandbox) {
    set("ip_local_port_range", "61000 61100");
    set("ip_local_reserved_ports", "61040-61049");
    let mut options = enable::options(sandbox);
    options.pool = (61000, 61111);
    enable::enable_with(&options);
    for protocol in BOTH {
        let socket = socket4(protocol);
        while raw::acquire4(&socket, 0, 1).is_ok() {}
        assert_errno!(raw::acquire4(&socket, 0, 1), EADDRINUSE);
        let map = ports::map(sandbox);
        assert_eq!(map.ranges(protocol), [61040..=61049, 61101..=61111]);
    }
}

/// `IP_LOCAL_PORT_RANGE` (ip(7), Linux 6.3).
pub(crate) fn a_socket_cannot_narrow_it_to_kept_ports(sandbox: &Sandbox) {
    const IP_LOCAL_PORT_RANGE: i32 = 51;
    set("ip_local_port_range", "40000 40031");
    set("ip_local_reserved_ports", "40008-40023");
    enable::enable(sandbox);
    let owners = BOTH.map(|protocol| acquire_ports(protocol, 40008..=40023, 0));
    let server = sock::tcp4();
    assert_ok!(sock::bind(&server, Ipv4Addr::LOCALHOST, 50000));
    assert_ok!(sock::listen(&server));
    let narrowed = |protocol| {
        let socket = socket4(protocol);
        set_option(&socket, IP_LOCAL_PORT_RANGE, 40023 << 16 | 40008);
        socket
    };
    if raw::set_bytes(sock::tcp4(), libc::IPPROTO_IP, IP_LOCAL_PORT_RANGE, &[0; 4])
        == Err(libc::ENOPROTOOPT)
    {
        skip_before("6.3", "no IP_LOCAL_PORT_RANGE");
    }
    for protocol in BOTH {
        assert_errno!(sock::bind_any(narrowed(protocol), 0), EADDRINUSE);
    }
    let client = narrowed(Protocol::Tcp);
    assert_errno!(
        sock::connect(client, Ipv4Addr::LOCALHOST, 50000),
        EADDRNOTAVAIL
    );
    drop(owners);
}
