//! Numbers at the ends of their ranges.

use std::fs;

use portkeep_tests::enable::enable;
use portkeep_tests::libc::{EACCES, EADDRINUSE, EADDRNOTAVAIL, EDQUOT, EINVAL};
use portkeep_tests::ports::{PortMap, map, probe_free};
use portkeep_tests::{
    Protocol, Sandbox, assert_errno, assert_ok, errno_name, proc, raw, reservations, sock,
};

use crate::bytes::sockets;
use crate::ledger::{USER, assert_empty, unchanged};

pub(crate) fn first_and_last_ports(sandbox: &Sandbox) {
    enable(sandbox);
    let cases = [
        (0, 0, EINVAL, EINVAL),
        (1, 0, EINVAL, EINVAL),
        (u16::MAX, 0, EINVAL, EINVAL),
        (u16::MAX, 1, 0, 0),
        (u16::MAX, 2, EINVAL, EINVAL),
        (u16::MAX, u16::MAX, EINVAL, EINVAL),
        (u16::MAX - 1, 2, 0, 0),
        (u16::MAX - 1, 3, EINVAL, EINVAL),
        (1, 1, 0, EACCES),
        (1, 32767, 0, EDQUOT),
        (1, 4096, 0, EACCES),
        (1, u16::MAX, EADDRNOTAVAIL, EDQUOT),
        (2, u16::MAX - 1, EADDRNOTAVAIL, EDQUOT),
        (2, u16::MAX, EINVAL, EINVAL),
        (1 << 15, 1 << 15, EADDRNOTAVAIL, EDQUOT),
        (61000, 4536, 0, EDQUOT),
        (61000, 4537, EINVAL, EINVAL),
        (0, 4536, 0, EDQUOT),
        (0, 4537, EADDRINUSE, EDQUOT),
        (0, 1 << 15, EADDRINUSE, EDQUOT),
        (0, u16::MAX, EADDRINUSE, EDQUOT),
    ];
    let check = |start, count, errno| {
        for socket in sockets() {
            let result = unchanged(sandbox, || {
                let result = raw::acquire(&socket, start, count);
                if let Ok(block) = result {
                    assert!(start == 0 || block.start == start);
                    assert_eq!(block.count, count);
                    assert_ok!(raw::release(&socket, block.token));
                }
                result
            });
            let outcome = result.err().unwrap_or_default();
            let (got, expected) = (errno_name(outcome), errno_name(errno));
            assert_eq!(got, expected, "{start}, {count}");
        }
    };
    for (start, count, of_root, of_user) in cases {
        check(start, count, of_root);
        let checked = proc::as_uid(USER, USER, || {
            check(start, count, of_user);
            0
        });
        assert_eq!(checked, 0);
    }
    assert_empty(sandbox, USER);
}

pub(crate) fn the_whole_port_space(sandbox: &Sandbox) {
    enable(sandbox);
    // So that no port is automatic: the kernel wants a range, which may be protected wholly.
    fs::write("/proc/sys/net/ipv4/ip_local_reserved_ports", "1-65535").expect("protect all ports");
    for protocol in [Protocol::Tcp, Protocol::Udp] {
        let socket = match protocol {
            Protocol::Tcp => sock::tcp4(),
            Protocol::Udp => sock::udp4(),
        };
        let block = assert_ok!(raw::acquire(&socket, 1, u16::MAX));
        assert_eq!((block.start, block.count), (1, u16::MAX));
        assert_eq!(map(sandbox), PortMap::new([(protocol, 1..=u16::MAX)]));
        assert_eq!(
            probe_free(protocol, 1..=u16::MAX).len(),
            65535,
            "each port is refused"
        );
        for (start, count) in [(1, 1), (u16::MAX, 1), (0, 1), (40000, 1), (1, u16::MAX)] {
            assert_errno!(raw::acquire4(&socket, start, count), EADDRINUSE);
        }
        let associated = match protocol {
            Protocol::Tcp => sock::tcp6(),
            Protocol::Udp => sock::udp6(),
        };
        assert_ok!(raw::associate(&associated, block.token));
        assert_ok!(sock::bind_any(&associated, u16::MAX));
        drop((socket, associated));
        assert_eq!(map(sandbox), PortMap::default());
        assert_eq!(probe_free(protocol, 1..=u16::MAX), []);
    }
    assert_empty(sandbox, USER);
}

pub(crate) fn ports_are_in_network_byte_order(sandbox: &Sandbox) {
    enable(sandbox);
    for start in [0x0102, 0x2774, 0x7fff, 0xee48, 0xff00, 0x00ff, 0x0100] {
        for socket in sockets() {
            let block = assert_ok!(raw::acquire(&socket, start, 1));
            assert_eq!(block.start, start);
            let listed = reservations::list(sandbox);
            assert_eq!(listed[0].ports, start..=start);
            assert_errno!(raw::acquire4(&socket, start, 1), EADDRINUSE);
            assert_eq!(assert_ok!(raw::conflict(&socket)).port, start);
        }
    }
    assert_empty(sandbox, USER);
}

pub(crate) fn alignments(sandbox: &Sandbox) {
    enable(sandbox);
    let socket = sock::udp4();
    for align in 0..=u16::MAX {
        let result = raw::acquire16(&socket, 0, 1, 0, align);
        // 61440, divisible by 4096, is the roundest port of the pool.
        let expected = match align {
            0 => Ok(()),
            _ if !align.is_power_of_two() => Err(EINVAL),
            _ if align <= 4096 => Ok(()),
            _ => Err(EADDRINUSE),
        };
        assert_eq!(result, expected, "aligned to {align}");
        if result.is_ok() {
            let block = assert_ok!(raw::instance(&socket));
            assert_eq!(block.start % align.max(1), 0);
            assert_ok!(raw::release(&socket, block.token));
        }
    }
    for start in [1, 2, 1024, 24576, 16384, u16::MAX] {
        for align in (0..16).map(|shift| 1_u16 << shift) {
            let result = raw::acquire16(&socket, start, 1, 0, align);
            let expected = if start % align == 0 {
                Ok(())
            } else {
                Err(EINVAL)
            };
            assert_eq!(result, expected, "{start} aligned to {align}");
            if result.is_ok() {
                assert_ok!(raw::release(
                    &socket,
                    assert_ok!(raw::instance(&socket)).token
                ));
            }
        }
    }
    assert_empty(sandbox, USER);
}
