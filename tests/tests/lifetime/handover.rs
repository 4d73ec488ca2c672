//! Descriptors on their way to other processes.

use std::os::fd::AsRawFd;

use io_uring::IoUring;
use portkeep_tests::proc::{Exit, fork_child};
use portkeep_tests::{Channel, Sandbox, raw, skip};

use crate::scene::{Scene, each};

/// A process acquires the block, sends the socket and ends. Its id.
fn send_and_exit(scene: &Scene<'_>, channel: &Channel) -> u32 {
    let sender = fork_child(|| {
        channel.send_fd(scene.acquired().0);
        0
    });
    let pid = sender.pid();
    assert_eq!(sender.wait(), Exit::Code(0));
    pid
}

pub(crate) fn a_passed_descriptor_keeps_it(sandbox: &Sandbox) {
    each(sandbox, |scene| {
        let (here, there) = Channel::pair();
        let sender = send_and_exit(scene, &there);
        let socket = here.recv_fd();
        drop((here, there));
        scene.assert_held();
        let entry = scene.entry().expect("a reservation");
        assert_eq!(entry.pid, sender);
        drop(socket);
    });
}

pub(crate) fn a_descriptor_in_flight_keeps_it(sandbox: &Sandbox) {
    each(sandbox, |scene| {
        let (here, there) = Channel::pair();
        send_and_exit(scene, &there);
        drop(there);
        scene.assert_held();
        let socket = here.recv_fd();
        drop(here);
        scene.assert_held();
        drop(socket);
    });
}

pub(crate) fn a_lost_message_ends_it(sandbox: &Sandbox) {
    each(sandbox, |scene| {
        let (here, there) = Channel::pair();
        send_and_exit(scene, &there);
        scene.assert_held();
        drop((here, there));
        scene.assert_over_soon();
    });
}

pub(crate) fn a_file_registered_with_io_uring_keeps_it(sandbox: &Sandbox) {
    each(sandbox, |scene| {
        // ENOSYS, or EPERM by the sysctl kernel.io_uring_disabled.
        let Ok(ring) = IoUring::new(2) else {
            skip("no io_uring for us");
        };
        let (socket, instance) = scene.acquired();
        ring.submitter()
            .register_files(&[socket.as_raw_fd()])
            .expect("register the socket");
        drop(socket);
        scene.assert_held();
        let other = scene.socket();
        assert_eq!(raw::associate(&other, instance.token), Ok(()));
        drop(ring);
        scene.assert_over_soon();
    });
}
