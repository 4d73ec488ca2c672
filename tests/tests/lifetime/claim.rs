//! `PORTKEEP_CLAIM`: whoever holds the acquiring socket may become the owner.

use std::os::fd::OwnedFd;

use portkeep_tests::proc::{Child, Exit, fork_child};
use portkeep_tests::raw::Instance;
use portkeep_tests::{Channel, Event, Sandbox, assert_errno, assert_ok, proc, raw, sock};

use crate::scene::{BLOCK, COUNT, START, Scene, each};

/// A process that acquires the block, passes the socket on, and does what it is told afterwards.
struct Owner {
    child: Child,
    socket: OwnedFd,
    instance: Instance,
    go_on: Event,
}

impl Owner {
    /// An owner who, on [`go_on`](Self::go_on), does `then` with its own copy of the socket.
    fn start(scene: &Scene<'_>, flags: u32, then: impl FnOnce(&OwnedFd, u64)) -> Self {
        let (here, there) = Channel::pair();
        let go_on = Event::new();
        let child = fork_child(|| {
            let socket = OwnedFd::from(scene.socket());
            assert_ok!(raw::acquire16(&socket, START, COUNT, flags, 0));
            there.send_fd(&socket);
            go_on.wait();
            let instance = assert_ok!(raw::instance(&socket));
            then(&socket, instance.token);
            0
        });
        let socket = here.recv_fd();
        let entry = scene.entry().expect("a reservation");
        assert_eq!(entry.pid, child.pid());
        let instance = Instance {
            start: START,
            count: COUNT,
            reserved: 0,
            token: entry.token,
        };
        Self {
            child,
            socket,
            instance,
            go_on,
        }
    }

    /// Lets the owner do its part and end.
    fn go_on(self) -> OwnedFd {
        self.go_on.set();
        assert_eq!(self.child.wait(), Exit::Code(0));
        self.socket
    }
}

fn assert_not_owner(scene: &Scene<'_>, token: u64) {
    let socket = scene.socket();
    assert_errno!(raw::associate(&socket, token), EACCES);
    assert_eq!(raw::associated(&socket), Ok(0));
    assert_errno!(raw::release(&socket, token), EACCES);
    scene.assert_held();
}

fn assert_owner(scene: &Scene<'_>, token: u64) {
    let socket = scene.socket();
    assert_ok!(raw::associate(&socket, token));
    assert_ok!(sock::bind_any(&socket, 0));
    assert!(BLOCK.contains(&sock::local_port(&socket)));
}

pub(crate) fn gives_every_right_to_the_claimer(sandbox: &Sandbox) {
    each(sandbox, |scene| {
        let owner = Owner::start(scene, 0, |_, token| assert_not_owner(scene, token));
        let token = owner.instance.token;
        assert_not_owner(scene, token);
        let since = scene.entry().map(|entry| entry.since);
        assert_ok!(raw::claim(&owner.socket, token));
        let entry = scene.entry().expect("a reservation");
        assert_eq!((entry.pid, entry.token), (std::process::id(), token));
        assert_eq!(
            Some(entry.since),
            since,
            "the reservation is as old as before"
        );
        assert_owner(scene, token);
        let socket = owner.go_on();
        assert_owner(scene, token);
        assert_ok!(raw::release(scene.socket(), token));
        scene.assert_over();
        assert_errno!(raw::claim(&socket, token), EINVAL);
    });
}

pub(crate) fn can_go_back(sandbox: &Sandbox) {
    each(sandbox, |scene| {
        let owner = Owner::start(scene, 0, |socket, token| {
            assert_not_owner(scene, token);
            assert_ok!(raw::claim(socket, token));
            assert_ok!(raw::claim(socket, token));
            assert_owner(scene, token);
        });
        let token = owner.instance.token;
        assert_ok!(raw::claim(&owner.socket, token));
        let socket = owner.go_on();
        assert_not_owner(scene, token);
        drop(socket);
    });
}

pub(crate) fn outlives_the_former_owner(sandbox: &Sandbox) {
    each(sandbox, |scene| {
        let owner = Owner::start(scene, 0, |_, _| ());
        let token = owner.instance.token;
        assert_ok!(raw::claim(&owner.socket, token));
        let socket = owner.go_on();
        scene.assert_held();
        assert_owner(scene, token);
        drop(socket);
    });
}

pub(crate) fn moves_what_the_process_flag_allows(sandbox: &Sandbox) {
    each(sandbox, |scene| {
        let bind = || sock::bind_any(scene.socket(), START);
        let owner = Owner::start(scene, raw::PROCESS, |_, _| {
            assert_errno!(bind(), EADDRINUSE);
        });
        assert_errno!(bind(), EADDRINUSE);
        assert_ok!(raw::claim(&owner.socket, owner.instance.token));
        assert_ok!(bind());
        drop(owner.go_on());
    });
}

pub(crate) fn leaves_associations_alone(sandbox: &Sandbox) {
    each(sandbox, |scene| {
        let (here, there) = Channel::pair();
        let owner = Owner::start(scene, 0, |_, token| {
            let associated = scene.socket();
            assert_ok!(raw::associate(&associated, token));
            there.send(0);
            there.send(there.recv());
            assert_ok!(sock::bind_any(&associated, 0));
            assert!(BLOCK.contains(&sock::local_port(&associated)));
        });
        owner.go_on.set();
        assert_eq!(here.recv(), 0);
        assert_ok!(raw::claim(&owner.socket, owner.instance.token));
        here.send(0);
        drop(owner.go_on());
    });
}

pub(crate) fn is_for_holders_of_the_acquiring_socket(sandbox: &Sandbox) {
    each(sandbox, |scene| {
        let owner = Owner::start(scene, 0, |_, token| assert_owner(scene, token));
        let token = owner.instance.token;
        let other = scene.socket();
        assert_ok!(raw::acquire4(&other, 0, 1));
        for wrong in [&other, &scene.socket(), &sock::udp6(), &sock::tcp6()] {
            assert_errno!(raw::claim(wrong, token), EACCES);
        }
        drop(other);
        // Not even root may without the socket, nor anybody with a socket of his own.
        let bystander = || {
            let own = scene.socket();
            assert_ok!(raw::acquire4(&own, 0, 1));
            assert_errno!(raw::claim(&own, token), EACCES);
            assert_not_owner(scene, token);
            0
        };
        assert_eq!(fork_child(bystander).code(), 0);
        assert_eq!(proc::as_uid(65534, 65534, bystander), 0);
        assert_eq!(
            scene.entry().map(|entry| entry.pid),
            Some(owner.child.pid())
        );
        drop(owner.go_on());
    });
}

pub(crate) fn of_what_has_ended_is_refused(sandbox: &Sandbox) {
    each(sandbox, |scene| {
        let (socket, instance) = scene.acquired();
        assert_errno!(raw::claim(&socket, 0), EINVAL);
        assert_ok!(raw::release(&socket, instance.token));
        assert_errno!(raw::claim(&socket, instance.token), EINVAL);
        // The same ports on the same socket are another reservation.
        let again = scene.acquire(&socket);
        assert_ne!(again.token, instance.token);
        assert_errno!(raw::claim(&socket, instance.token), EINVAL);
        assert_ok!(raw::claim(&socket, again.token));
        drop(socket);
        assert_errno!(raw::claim(scene.socket(), again.token), EINVAL);
    });
}
