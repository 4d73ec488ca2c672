//! Network namespaces.

use portkeep_tests::proc::{Exit, fork_child};
use portkeep_tests::{Channel, Event, Sandbox, assert_errno, proc, raw, reservations, sock};

use crate::scene::each;

pub(crate) fn the_end_of_a_namespace_ends_it(sandbox: &Sandbox) {
    each(sandbox, |scene| {
        let before = reservations::list(scene.sandbox).len();
        let (acquired, end) = (Event::new(), Event::new());
        let child = fork_child(|| {
            proc::new_netns();
            let _socket = scene.acquired();
            scene.assert_held();
            acquired.set();
            end.wait();
            0
        });
        acquired.wait();
        assert_eq!(reservations::list(scene.sandbox).len(), before + 1);
        scene.assert_over();
        end.set();
        assert_eq!(child.wait(), Exit::Code(0));
        assert_eq!(reservations::list(scene.sandbox).len(), before);
    });
}

pub(crate) fn a_socket_taken_to_another_namespace_keeps_it(sandbox: &Sandbox) {
    each(sandbox, |scene| {
        let (here, there) = Channel::pair();
        let end = Event::new();
        let child = fork_child(|| {
            let (socket, instance) = scene.acquired();
            proc::new_netns();
            // A socket is of the namespace it was made in, and so is the token.
            assert_errno!(raw::associate(scene.socket(), instance.token), EINVAL);
            assert_errno!(raw::release(scene.socket(), instance.token), EINVAL);
            there.send(sock::netns_cookie(&socket));
            end.wait();
            assert_eq!(raw::release(&socket, instance.token), Ok(()));
            0
        });
        assert_eq!(here.recv(), sock::netns_cookie(scene.socket()));
        scene.assert_held();
        end.set();
        assert_eq!(child.wait(), Exit::Code(0));
    });
}
