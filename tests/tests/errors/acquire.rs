//! What is no refusal: how far an acquire reaches.

use portkeep::{Consumers, Reservation, sockopt};
use portkeep_tests::enable::{POOL_END, POOL_START, enable, enable_with, options};
use portkeep_tests::ports::{PortMap, map, probe_free};
use portkeep_tests::{Protocol, Sandbox, assert_ok, libc, proc, raw, sock};

use crate::holder::{Holder, socket};

pub(crate) fn one_socket_holds_several(sandbox: &Sandbox) {
    enable(sandbox);
    for protocol in [Protocol::Tcp, Protocol::Udp] {
        let own = socket(protocol);
        let blocks: Vec<_> = [10300, 10100, 10200, 0, 0]
            .into_iter()
            .map(|start| assert_ok!(raw::acquire(&own, start, 8)))
            .collect();
        let ranges = |blocks: &[raw::Instance]| {
            PortMap::new(
                blocks
                    .iter()
                    .map(|block| (protocol, block.start..=block.start + 7)),
            )
        };
        assert_eq!(map(sandbox), ranges(&blocks));
        for block in &blocks {
            let associated = socket(protocol);
            assert_ok!(raw::associate(&associated, block.token));
            assert_ok!(sock::bind_any(&associated, block.start + 7));
            let tokens = blocks.iter().filter(|other| other.token == block.token);
            assert_eq!(tokens.count(), 1);
        }
        // The middle one alone can be released; the others stay until the socket is closed.
        assert_ok!(raw::release(&own, blocks[2].token));
        assert_eq!(map(sandbox), ranges(&[&blocks[..2], &blocks[3..]].concat()));
        drop(own);
        assert_eq!(map(sandbox), PortMap::default());
    }
}

pub(crate) fn a_start_is_aligned(sandbox: &Sandbox) {
    enable(sandbox);
    for protocol in [Protocol::Tcp, Protocol::Udp] {
        let own = socket(protocol);
        for align in (0..12).map(|shift| 1 << shift).chain([0]) {
            for count in [1, 3, 63, 64, 65] {
                assert_ok!(raw::acquire16(&own, 0, count, 0, align));
                let block = assert_ok!(raw::instance(&own));
                assert_eq!(
                    block.start % align.max(1),
                    0,
                    "{block:?}, aligned to {align}"
                );
                assert_eq!(block.count, count);
                assert!(block.start >= POOL_START && block.start <= POOL_END - (count - 1));
                if align > 64 {
                    assert_ok!(raw::release(&own, block.token));
                }
            }
        }
        assert_ok!(raw::acquire16(&own, 16384, 1, 0, 16384));
        let none = Consumers::ASSOCIATED;
        let (range, _) = assert_ok!(sockopt::acquire(&own, 0, 2, none, 2));
        assert_eq!(range.start() % 2, 0);
    }
    let both = assert_ok!(
        Reservation::builder()
            .tcp()
            .udp()
            .count(5)
            .align(8)
            .acquire()
    );
    assert_eq!((both.start() % 8, both.count()), (0, 5));
}

pub(crate) fn neighbours_and_others_port_spaces_are_free(sandbox: &Sandbox) {
    enable(sandbox);
    let held = sock::tcp4();
    assert_ok!(raw::acquire4(&held, 10100, 100));
    let _other = Holder::start(0, Protocol::Tcp, 10200, 1);
    assert_ok!(raw::acquire4(sock::tcp6(), 10099, 1));
    assert_ok!(raw::acquire4(sock::tcp6(), 10201, 1));
    assert_ok!(raw::acquire4(sock::udp4(), 10100, 100));
    assert_eq!(probe_free(Protocol::Udp, 10100..=10200), []);
    assert_eq!(probe_free(Protocol::Tcp, 10000..=10099), []);
    let refused: Vec<_> = (10100..=10200)
        .map(|port| (port, libc::EADDRINUSE))
        .collect();
    assert_eq!(probe_free(Protocol::Tcp, 10090..=10210), refused);
    let checked = proc::in_netns(|| {
        assert_eq!(probe_free(Protocol::Tcp, 10100..=10200), []);
        assert_ok!(raw::acquire4(sock::tcp4(), 10100, 100));
        0
    });
    assert_eq!(checked, 0);
}

pub(crate) fn a_wildcard_comes_from_the_pool(sandbox: &Sandbox) {
    enable(sandbox);
    for protocol in [Protocol::Tcp, Protocol::Udp] {
        let own = socket(protocol);
        for count in [1, 64, 65, 1000, 1] {
            let block = assert_ok!(raw::acquire(&own, 0, count));
            assert!(block.start >= POOL_START && block.start <= POOL_END - (count - 1));
        }
    }
    let (first, last) = (12345, 12445);
    // Installing again changes the pool and ends nothing.
    let own = assert_ok!(Reservation::builder().count(3).acquire());
    enable_with(&portkeep_admin::InstallOptions {
        pool: (first, last),
        ..options(sandbox)
    });
    assert!(map(sandbox).contains(Protocol::Tcp, own.start()));
    let mut starts: Vec<_> = (first..=last)
        .map(|_| assert_ok!(Reservation::builder().acquire()))
        .map(|block| (block.start(), block))
        .collect();
    starts.sort_by_key(|(start, _)| *start);
    assert!(starts.iter().map(|(start, _)| *start).eq(first..=last));
}
