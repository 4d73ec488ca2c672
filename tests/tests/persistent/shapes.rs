//! Splitting a block and joining two: nothing ends, and no port is free at any instant.

use std::ops::RangeInclusive;

use portkeep_tests::enable::enable;
use portkeep_tests::libc::EADDRINUSE;
use portkeep_tests::ports::{PortMap, map, probe_free};
use portkeep_tests::raw::{self, EVERY_NETNS, JOIN, PART, SPLIT, user};
use portkeep_tests::{Protocol, Sandbox, assert_errno, assert_ok, proc, sock};

use crate::ledger::{USER, assert_empty, unchanged};

const ROUNDS: u32 = 3000;

fn assert_map(sandbox: &Sandbox, parts: &[RangeInclusive<u16>]) {
    let parts = parts.iter().map(|part| (Protocol::Udp, part.clone()));
    assert_eq!(map(sandbox), PortMap::new(parts));
}

fn consumer_binds(ports: RangeInclusive<u16>) {
    let refused = proc::as_uid(USER, USER, || {
        i32::from(!probe_free(Protocol::Udp, ports.clone()).is_empty())
    });
    assert_eq!(refused, 0, "the consumer's {ports:?}");
}

/// Within one word of the bitmap, at its bounds, and over several; also in every namespace.
pub(crate) fn split_and_joined(sandbox: &Sandbox) {
    enable(sandbox);
    for everywhere in [0, EVERY_NETNS] {
        for (start, at, end) in [
            (10060_u16, 10063_u16, 10068_u16),
            (10048, 10111, 10111),
            (10048, 10049, 10111),
            (10060, 10112, 10600),
            (10100, 10101, 10101),
        ] {
            let socket = sock::udp4();
            let consumer = [user(USER)];
            let whole = end - start + 1;
            let (first, second) = (at - start, end - at + 1);
            let created = assert_ok!(raw::create(&socket, start, whole, everywhere, &consumer));
            assert_ok!(raw::delete(&socket, at, second, SPLIT | everywhere));
            if everywhere == 0 {
                assert_map(sandbox, &[start..=at - 1, at..=end]);
            }
            let refused: Vec<_> = (start..=end).map(|port| (port, EADDRINUSE)).collect();
            assert_eq!(probe_free(Protocol::Udp, start..=end), refused);
            consumer_binds(start..=end);
            assert_errno!(raw::look_up(&socket, start, whole), ENOENT);
            assert_eq!(assert_ok!(raw::look_up(&socket, start, first)), {
                let mut head = created;
                head.count = first;
                head
            });
            assert_ne!(
                assert_ok!(raw::look_up(&socket, at, second)).token,
                created.token
            );

            assert_ok!(raw::delete(&socket, at, second, JOIN | everywhere));
            if everywhere == 0 {
                assert_map(sandbox, &[start..=end]);
            }
            assert_eq!(probe_free(Protocol::Udp, start..=end), refused);
            consumer_binds(start..=end);
            assert_eq!(assert_ok!(raw::look_up(&socket, start, whole)), created);
            assert_errno!(raw::look_up(&socket, at, second), ENOENT);
            // As one block it ends at once, and nothing of the words is left counted.
            assert_ok!(raw::delete(&socket, start, whole, everywhere));
            assert_eq!(probe_free(Protocol::Udp, start..=end), []);
        }
    }
    assert_empty(sandbox, USER);
}

pub(crate) fn refusals(sandbox: &Sandbox) {
    enable(sandbox);
    let socket = sock::udp4();
    let runtime = sock::udp4();
    assert_ok!(raw::create(&socket, 10100, 10, 0, &[user(USER)]));
    assert_ok!(raw::create(&socket, 10110, 10, 0, &[]));
    assert_ok!(raw::create(&socket, 10121, 9, 0, &[]));
    assert_ok!(raw::acquire4(&runtime, 10130, 10));
    unchanged(sandbox, || {
        for (start, count, flags) in [
            // Not the last part of a block.
            (10100, 10, SPLIT),
            (10105, 4, SPLIT),
            (10105, 6, SPLIT),
            (10105, 15, SPLIT),
            (10120, 1, SPLIT),
            (10135, 5, SPLIT),
            // Not a whole block, or nothing that ends right before it.
            (10105, 5, JOIN),
            (10110, 9, JOIN),
            (10110, 11, JOIN),
            (10100, 10, JOIN),
            (10121, 9, JOIN),
            (10130, 10, JOIN),
            (1, 1, JOIN),
        ] {
            assert_errno!(raw::delete(&socket, start, count, flags), ENOENT);
            assert_errno!(raw::delete(sock::tcp4(), start, count, flags), ENOENT);
            assert_errno!(
                raw::delete(&socket, start, count, flags | EVERY_NETNS),
                ENOENT
            );
        }
        for flags in [SPLIT | JOIN, SPLIT | PART, JOIN | PART, 0x8_0000] {
            assert_errno!(raw::delete(&socket, 10105, 5, flags), EINVAL);
        }
        let refused = proc::as_uid(USER, USER, || {
            assert_errno!(raw::delete(sock::udp4(), 10105, 5, SPLIT), EACCES);
            assert_errno!(raw::delete(sock::udp4(), 10110, 10, JOIN), EACCES);
            0
        });
        assert_eq!(refused, 0);
    });
    // The first one's consumers count.
    assert_ok!(raw::delete(&socket, 10110, 10, JOIN));
    consumer_binds(10100..=10119);
}

/// One process splits and joins, others try to get at the ports, and to split and join, too.
pub(crate) fn split_and_joined_beside_strangers(sandbox: &Sandbox) {
    enable(sandbox);
    let socket = sock::tcp4();
    assert_ok!(raw::create(&socket, 10100, 100, 0, &[]));
    let strangers: Vec<_> = (0..3)
        .map(|which| {
            proc::fork_child(|| {
                for _ in 0..ROUNDS {
                    for port in [10100, 10129, 10130, 10131, 10163, 10199] {
                        match which {
                            0 => assert_errno!(sock::bind_any(sock::tcp6(), port), EADDRINUSE),
                            1 => assert_errno!(raw::acquire4(sock::tcp4(), port, 1), EADDRINUSE),
                            _ => {
                                let other = sock::tcp4();
                                let _ = raw::delete(&other, 10130, 70, SPLIT);
                                let _ = raw::delete(&other, 10130, 70, JOIN);
                                let _ = raw::delete(&other, 10164, 36, SPLIT);
                                let _ = raw::delete(&other, 10164, 36, JOIN);
                            }
                        }
                    }
                }
                0
            })
        })
        .collect();
    for _ in 0..ROUNDS {
        let _ = raw::delete(&socket, 10130, 70, SPLIT);
        let _ = raw::delete(&socket, 10130, 70, JOIN);
        let _ = raw::delete(&socket, 10164, 36, JOIN);
    }
    for stranger in strangers {
        assert_eq!(stranger.code(), 0);
    }
    // Whatever came last is one block again, and ends as one.
    let _ = raw::delete(&socket, 10164, 36, JOIN);
    let _ = raw::delete(&socket, 10130, 34, JOIN);
    let _ = raw::delete(&socket, 10130, 70, JOIN);
    assert_ok!(raw::delete(&socket, 10100, 100, 0));
    assert_empty(sandbox, USER);
    assert_eq!(probe_free(Protocol::Tcp, 10100..=10199), []);
}
