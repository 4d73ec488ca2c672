//! The flags `PROCESS` and `TREE`: who may bind without associating.

use std::thread;

use portkeep_tests::proc::{Exit, fork_child};
use portkeep_tests::{Event, Sandbox, enable, proc, raw};

use crate::kinds::assert_all;
use crate::scene::{BOTH, END, START, acquire, try_bind};

pub(crate) fn process_lets_every_thread_of_the_owner_bind(sandbox: &Sandbox) {
    enable::enable(sandbox);
    for protocol in BOTH {
        let owner = fork_child(|| {
            // Another thread than the one that binds, and one that has ended.
            let acquired = thread::spawn(move || acquire(protocol, raw::PROCESS));
            let acquired = acquired.join().expect("the thread");
            for port in [START, END] {
                assert_all(protocol, port, 0);
                let binder = thread::spawn(move || assert_all(protocol, port, 0));
                binder.join().expect("the thread");
            }
            // An unassociated socket is not confined to the block either.
            assert_all(protocol, END + 1, 0);
            drop(acquired);
            0
        });
        assert_eq!(owner.wait(), Exit::Code(0));
    }
}

pub(crate) fn process_lets_no_child_bind(sandbox: &Sandbox) {
    enable::enable(sandbox);
    for protocol in BOTH {
        let _acquired = acquire(protocol, raw::PROCESS);
        let child = fork_child(|| {
            assert_all(protocol, START, libc::EADDRINUSE);
            0
        });
        assert_eq!(child.wait(), Exit::Code(0));
        assert_eq!(try_bind(protocol, START), 0);
    }
}

pub(crate) fn nobody_else_gains_by_a_flag(sandbox: &Sandbox) {
    enable::enable(sandbox);
    for protocol in BOTH {
        for flags in [raw::PROCESS, raw::TREE, raw::PROCESS | raw::TREE] {
            let (acquired, end) = (Event::new(), Event::new());
            let owner = fork_child(|| {
                let _acquired = acquire(protocol, flags);
                acquired.set();
                end.wait();
                0
            });
            acquired.wait();
            assert_all(protocol, START, libc::EADDRINUSE);
            let sibling = fork_child(|| try_bind(protocol, START));
            assert_eq!(sibling.wait(), Exit::Code(libc::EADDRINUSE));
            let other = proc::as_uid(1000, 1000, || try_bind(protocol, END));
            assert_eq!(other, libc::EADDRINUSE);
            end.set();
            assert_eq!(owner.wait(), Exit::Code(0));
        }
    }
}

pub(crate) fn both_flags_are_the_wider_one(sandbox: &Sandbox) {
    enable::enable(sandbox);
    for protocol in BOTH {
        let _acquired = acquire(protocol, raw::PROCESS | raw::TREE);
        assert_all(protocol, START, 0);
        let child = fork_child(|| {
            assert_all(protocol, START, 0);
            0
        });
        assert_eq!(child.wait(), Exit::Code(0));
    }
}
