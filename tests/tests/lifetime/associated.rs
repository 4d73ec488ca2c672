//! Associated sockets when their reservation ends.

use std::net::Ipv4Addr;
use std::time::Duration;

use portkeep_tests::socket2::Socket;
use portkeep_tests::{Protocol, Sandbox, assert_errno, assert_ok, raw, sock};

use crate::scene::{BLOCK, COUNT, START, Scene, each};

/// A socket of the block's third port that works: a stranger's message reaches it.
fn assert_works(scene: &Scene<'_>, bound: &Socket) {
    let peer = scene.socket();
    assert_ok!(sock::connect(
        &peer,
        Ipv4Addr::LOCALHOST,
        sock::local_port(bound)
    ));
    let mut buffer = [0; 2];
    let read = match scene.protocol {
        Protocol::Tcp => {
            let accepted = assert_ok!(sock::accept(bound));
            // Closed with a reset, so that the port is not left in TIME_WAIT.
            accepted
                .set_linger(Some(Duration::ZERO))
                .expect("set SO_LINGER");
            peer.send(b"hi").expect("send");
            nix::unistd::read(&accepted, &mut buffer)
        }
        Protocol::Udp => {
            peer.send(b"hi").expect("send");
            nix::unistd::read(bound, &mut buffer)
        }
    };
    assert_eq!((read, &buffer), (Ok(2), b"hi"));
}

fn outlives(scene: &Scene<'_>, end: impl FnOnce(Socket, u64)) {
    let (socket, instance) = scene.acquired();
    let bound = scene.socket();
    let port = START + 2;
    sock::reuseport(&bound, true);
    assert_ok!(raw::associate(&bound, instance.token));
    assert_ok!(sock::bind_any(&bound, port));
    if scene.protocol == Protocol::Tcp {
        assert_ok!(sock::listen(&bound));
    }
    let sharer = || {
        let sharer = scene.socket();
        sock::reuseport(&sharer, true);
        sock::bind_any(&sharer, port).map(|()| sharer)
    };
    assert_errno!(sharer(), EADDRINUSE);
    assert_works(scene, &bound);
    end(socket, instance.token);

    assert_works(scene, &bound);
    // From here on the kernel's own rules hold and no others.
    drop(assert_ok!(sharer()));
    let refused = portkeep_tests::ports::probe_free(scene.protocol, BLOCK);
    assert_eq!(refused, [(port, libc::EADDRINUSE)]);
    let acquirer = scene.socket();
    assert_errno!(raw::acquire4(&acquirer, START, COUNT), EADDRINUSE);
    let conflict = assert_ok!(raw::conflict(&acquirer));
    assert_eq!((conflict.kind, conflict.port), (raw::CONFLICT_IN_USE, port));
    drop(bound);
    let (_socket, _) = scene.acquired();
}

pub(crate) fn bound_sockets_outlive_the_close(sandbox: &Sandbox) {
    each(sandbox, |scene| outlives(scene, |socket, _| drop(socket)));
}

pub(crate) fn bound_sockets_outlive_the_release(sandbox: &Sandbox) {
    each(sandbox, |scene| {
        outlives(scene, |socket, token| {
            assert_ok!(raw::release(&socket, token));
        });
    });
}

pub(crate) fn unbound_sockets_are_left_with_nothing(sandbox: &Sandbox) {
    each(sandbox, |scene| {
        for close in [false, true] {
            let (socket, instance) = scene.acquired();
            let associated = scene.socket();
            assert_ok!(raw::associate(&associated, instance.token));
            if close {
                drop(socket);
            } else {
                assert_ok!(raw::release(&socket, instance.token));
            }
            for port in [0, START, *BLOCK.end(), 1024] {
                assert_errno!(sock::bind_any(&associated, port), EADDRNOTAVAIL);
                assert_eq!(sock::local_port(&associated), 0);
            }
        }
    });
}

pub(crate) fn an_old_token_is_never_valid_again(sandbox: &Sandbox) {
    each(sandbox, |scene| {
        let (socket, old) = scene.acquired();
        let associated = scene.socket();
        assert_ok!(raw::associate(&associated, old.token));
        assert_ok!(raw::release(&socket, old.token));
        for _ in 0..3 {
            let new = scene.acquire(&socket);
            assert_ne!(new.token, old.token);
            assert_errno!(raw::associate(scene.socket(), old.token), EINVAL);
            assert_errno!(raw::release(&socket, old.token), EINVAL);
            for port in [0, START] {
                assert_errno!(sock::bind_any(&associated, port), EADDRNOTAVAIL);
            }
            scene.assert_held();
            assert_ok!(raw::release(&socket, new.token));
        }
        let new = scene.acquire(&socket);
        assert_ok!(raw::associate(&associated, new.token));
        assert_ok!(sock::bind_any(&associated, START));
    });
}
