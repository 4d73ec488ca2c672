//! The end of processes, and their children.

use nix::sys::prctl::set_child_subreaper;
use nix::sys::signal::Signal;
use nix::sys::wait::{Id, WaitPidFlag, waitid, waitpid};
use nix::unistd::{Pid, pause};
use portkeep_tests::proc::{Exit, fork_child};
use portkeep_tests::{Channel, Event, Sandbox, assert_errno, raw};

use crate::scene::each;

pub(crate) fn exit_ends_it(sandbox: &Sandbox) {
    each(sandbox, |scene| {
        let (acquired, go_on) = (Event::new(), Event::new());
        let child = fork_child(|| {
            let _socket = scene.acquired();
            acquired.set();
            go_on.wait();
            // SAFETY: ends the process at once, with the socket open.
            unsafe { libc::_exit(7) }
        });
        acquired.wait();
        scene.assert_held();
        let entry = scene.entry().expect("a reservation");
        assert_eq!((entry.pid, entry.uid), (child.pid(), 0));
        go_on.set();
        assert_eq!(child.wait(), Exit::Code(7));
    });
}

pub(crate) fn exit_ends_it_before_the_process_is_reaped(sandbox: &Sandbox) {
    each(sandbox, |scene| {
        let child = fork_child(|| {
            std::mem::forget(scene.acquired());
            0
        });
        let id = Id::Pid(Pid::from_raw(child.pid().cast_signed()));
        waitid(id, WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT).expect("waitid");
        scene.assert_over();
        assert_eq!(child.wait(), Exit::Code(0));
    });
}

pub(crate) fn kill_ends_it(sandbox: &Sandbox) {
    each(sandbox, |scene| {
        let acquired = Event::new();
        let child = fork_child(|| {
            let _socket = scene.acquired();
            acquired.set();
            pause();
            0
        });
        acquired.wait();
        scene.assert_held();
        child.kill(Signal::SIGKILL);
        assert_eq!(child.wait(), Exit::Signal(libc::SIGKILL));
    });
}

pub(crate) fn a_child_keeps_it_when_the_parent_is_gone(sandbox: &Sandbox) {
    set_child_subreaper(true).expect("become the reaper of orphans");
    each(sandbox, |scene| {
        let (here, there) = Channel::pair();
        let end = Event::new();
        let parent = fork_child(|| {
            let _socket = scene.acquired();
            let child = fork_child(|| {
                end.wait();
                0
            });
            there.send(child.pid().into());
            std::mem::forget(child);
            0
        });
        let (parent_pid, child_pid) = (parent.pid(), here.recv());
        assert_eq!(parent.wait(), Exit::Code(0));
        scene.assert_held();
        assert_eq!(scene.entry().map(|entry| entry.pid), Some(parent_pid));
        end.set();
        waitpid(Pid::from_raw(child_pid as i32), None).expect("wait for the orphan");
    });
}

pub(crate) fn a_child_keeps_it_but_does_not_own_it(sandbox: &Sandbox) {
    each(sandbox, |scene| {
        let (socket, instance) = scene.acquired();
        let (forked, end) = (Event::new(), Event::new());
        let child = fork_child(|| {
            assert_errno!(raw::associate(scene.socket(), instance.token), EACCES);
            assert_errno!(raw::release(&socket, instance.token), EACCES);
            forked.set();
            end.wait();
            0
        });
        forked.wait();
        drop(socket);
        scene.assert_held();
        end.set();
        assert_eq!(child.wait(), Exit::Code(0));
    });
}
