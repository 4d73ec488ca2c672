//! The quota: for whom it is, and when it is given back.

use nix::sys::signal::Signal;
use portkeep_tests::enable::enable;
use portkeep_tests::proc::Exit;
use portkeep_tests::{Channel, Event, Protocol, Sandbox, assert_errno, assert_ok, proc, raw, sock};

use crate::holder::{Holder, socket};
use crate::ledger::{QUOTA, USER, assert_charged, assert_empty, sorted};

const OTHER_USER: u32 = 65533;

pub(crate) fn each_user_has_one(sandbox: &Sandbox) {
    enable(sandbox);
    let first = Holder::start(USER, Protocol::Tcp, 10000, QUOTA);
    let second = Holder::start(OTHER_USER, Protocol::Tcp, 15000, QUOTA);
    assert_charged(USER, QUOTA);
    assert_charged(OTHER_USER, QUOTA);
    drop(first);
    assert_charged(USER, 0);
    assert_charged(OTHER_USER, QUOTA);
    drop(second);
    assert_empty(sandbox, USER);
    assert_empty(sandbox, OTHER_USER);
}

pub(crate) fn processes_and_protocols_and_namespaces_share_it(sandbox: &Sandbox) {
    enable(sandbox);
    let _tcp = Holder::start(USER, Protocol::Tcp, 10000, 1000);
    let _udp = Holder::start(USER, Protocol::Udp, 10000, 1000);
    let (own, others) = Channel::pair();
    let done = Event::new();
    let elsewhere = proc::fork_child(|| {
        proc::new_netns();
        proc::drop_privileges(USER, USER);
        let held = sock::tcp4();
        assert_ok!(raw::acquire4(&held, 10000, 1000));
        others.send(0);
        done.wait();
        0
    });
    assert_eq!(own.recv(), 0);
    assert_charged(USER, 3000);
    done.set();
    assert_eq!(elsewhere.code(), 0);
    assert_charged(USER, 2000);
}

pub(crate) fn release_gives_back(sandbox: &Sandbox) {
    enable(sandbox);
    let checked = proc::as_uid(USER, USER, || {
        let (tcp, udp) = (sock::tcp4(), sock::udp6());
        for _ in 0..50 {
            let block = assert_ok!(raw::acquire(&tcp, 0, QUOTA));
            assert_errno!(raw::acquire4(&udp, 0, 1), EDQUOT);
            assert_ok!(raw::release(&udp, block.token));
            assert_errno!(raw::release(&udp, block.token), EINVAL);
        }
        let blocks = [1, 95, 1000, 3000].map(|count| assert_ok!(raw::acquire(&udp, 0, count)));
        assert_errno!(raw::acquire4(&tcp, 0, 1), EDQUOT);
        assert_ok!(raw::release(&tcp, blocks[2].token));
        assert_errno!(raw::acquire4(&tcp, 0, 1001), EDQUOT);
        assert_ok!(raw::acquire4(&tcp, 0, 1000));
        0
    });
    assert_eq!(checked, 0);
    assert_empty(sandbox, USER);
}

pub(crate) fn close_gives_back(sandbox: &Sandbox) {
    enable(sandbox);
    let checked = proc::as_uid(USER, USER, || {
        for protocol in [Protocol::Tcp, Protocol::Udp] {
            for _ in 0..50 {
                let own = socket(protocol);
                assert_ok!(raw::acquire4(&own, 0, QUOTA - 1));
                assert_ok!(raw::acquire4(&own, 0, 1));
                assert_errno!(raw::acquire4(&own, 0, 1), EDQUOT);
            }
        }
        // What is released before the close is given back once.
        let own = sock::tcp4();
        let first = assert_ok!(raw::acquire(&own, 0, 4000));
        assert_ok!(raw::acquire4(&own, 0, 96));
        assert_ok!(raw::release(&own, first.token));
        drop(own);
        let own = sock::tcp4();
        assert_ok!(raw::acquire4(&own, 0, QUOTA));
        assert_errno!(raw::acquire4(&own, 10000, 1), EDQUOT);
        0
    });
    assert_eq!(checked, 0);
    assert_empty(sandbox, USER);
}

pub(crate) fn every_end_of_a_process_gives_back(sandbox: &Sandbox) {
    enable(sandbox);
    for signal in [Signal::SIGKILL, Signal::SIGTERM, Signal::SIGABRT] {
        let holder = Holder::start(USER, Protocol::Udp, 10000, QUOTA);
        assert_charged(USER, QUOTA);
        holder.child.kill(signal);
        assert_eq!(holder.child.wait(), Exit::Signal(signal as i32));
        assert_empty(sandbox, USER);
    }
    let leaves = proc::fork_child(|| {
        proc::drop_privileges(USER, USER);
        let held = sock::tcp4();
        assert_ok!(raw::acquire4(&held, 10000, QUOTA));
        std::mem::forget(held);
        7
    });
    assert_eq!(leaves.wait(), Exit::Code(7));
    assert_empty(sandbox, USER);
}

pub(crate) fn an_administrator_has_none(sandbox: &Sandbox) {
    enable(sandbox);
    let (tcp, udp) = (sock::tcp4(), sock::udp4());
    assert_ok!(raw::acquire4(&tcp, 10000, 3 * QUOTA));
    assert_ok!(raw::acquire4(&udp, 10000, 3 * QUOTA));
    assert_eq!(sorted(sandbox).len(), 2);
    let total: u32 = sorted(sandbox)
        .iter()
        .map(|held| held.ports.len() as u32)
        .sum();
    assert_eq!(total, 6 * u32::from(QUOTA));
    assert_charged(USER, 0);
}
