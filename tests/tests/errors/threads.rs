//! What an acquire gave is read by the thread that made it.

use std::sync::Barrier;
use std::thread;

use portkeep::{Consumers, sockopt};
use portkeep_tests::enable::enable;
use portkeep_tests::ports::{PortMap, map};
use portkeep_tests::{Protocol, Sandbox, assert_ok, proc, raw};

use crate::holder::socket;

const NOTHING: raw::Instance = raw::Instance {
    start: 0,
    count: 0,
    reserved: 0,
    token: 0,
};
const ROUNDS: u16 = 100;

pub(crate) fn each_reads_its_own(sandbox: &Sandbox) {
    enable(sandbox);
    for protocol in [Protocol::Tcp, Protocol::Udp] {
        let (shared, barrier) = (socket(protocol), Barrier::new(3));
        thread::scope(|scope| {
            for first in [10000, 20000] {
                let (shared, barrier) = (&shared, &barrier);
                scope.spawn(move || {
                    assert_eq!(raw::instance(shared), Ok(NOTHING));
                    barrier.wait();
                    for round in 0..ROUNDS {
                        let start = first + 2 * round;
                        assert_ok!(raw::acquire4(shared, start, 2));
                        barrier.wait();
                        let own = assert_ok!(raw::instance(shared));
                        assert_eq!((own.start, own.count), (start, 2));
                        assert_eq!(raw::instance(shared), Ok(own), "reading changes nothing");
                        barrier.wait();
                        let none = Consumers::ASSOCIATED;
                        let (range, token) =
                            assert_ok!(sockopt::acquire(shared, start + 5000, 1, none, 0));
                        assert_eq!((range.start(), range.count()), (start + 5000, 1));
                        assert_ok!(sockopt::release(shared, token));
                    }
                });
            }
            barrier.wait();
            for _ in 0..ROUNDS {
                barrier.wait();
                assert_eq!(raw::instance(&shared), Ok(NOTHING));
                barrier.wait();
            }
        });
        let held = [10000, 20000].map(|first| (protocol, first..=first + 2 * ROUNDS - 1));
        assert_eq!(map(sandbox), PortMap::new(held));
        drop(shared);
        assert_eq!(map(sandbox), PortMap::default());
    }
}

pub(crate) fn a_child_reads_none(sandbox: &Sandbox) {
    enable(sandbox);
    let own = socket(Protocol::Tcp);
    let block = assert_ok!(raw::acquire(&own, 10000, 8));
    let checked = proc::fork_child(|| {
        assert_eq!(raw::instance(&own), Ok(NOTHING));
        let second = assert_ok!(raw::acquire(&own, 20000, 8));
        assert_eq!((second.start, second.count), (20000, 8));
        0
    });
    assert_eq!(checked.code(), 0);
    assert_eq!(raw::instance(&own), Ok(block));
}
