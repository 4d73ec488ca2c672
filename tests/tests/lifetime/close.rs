//! Close, in one process.

use std::fs;

use portkeep_tests::ports::{self, probe_free};
use portkeep_tests::{Protocol, Sandbox, assert_errno, assert_ok, proc, raw, sock};

use crate::scene::{BLOCK, COUNT, START, Scene, duplicate, each};

pub(crate) fn ends_it(sandbox: &Sandbox) {
    each(sandbox, |scene| {
        let (socket, _) = scene.acquired();
        scene.assert_held();
        drop(socket);
    });
}

pub(crate) fn of_the_last_duplicate_ends_it(sandbox: &Sandbox) {
    each(sandbox, |scene| {
        let (socket, instance) = scene.acquired();
        let copies = [duplicate(&socket), duplicate(&socket)];
        drop(socket);
        scene.assert_held();
        assert_eq!(raw::instance(&copies[0]), Ok(instance));
        let [first, last] = copies;
        drop(first);
        scene.assert_held();
        drop(last);
    });
}

pub(crate) fn ends_all_that_one_socket_acquired(sandbox: &Sandbox) {
    each(sandbox, |scene| {
        let socket = scene.socket();
        // Out of order, far apart, and with one in the middle released before.
        for (start, count) in [(65535, 1), (START, COUNT), (1024, 100), (64000, 5)] {
            assert_ok!(raw::acquire4(&socket, start, count));
        }
        let middle = assert_ok!(raw::acquire(&socket, 0, 3));
        assert_ok!(raw::release(scene.socket(), middle.token));
        scene.assert_held();
        let map = ports::map(scene.sandbox);
        for port in [65535, 1024, 1123, 64000, 64004] {
            assert!(map.contains(scene.protocol, port), "{port} in {map:?}");
        }
        drop(socket);
        for ports in [65535..=65535, 1024..=1123, 64000..=64004] {
            assert_eq!(probe_free(scene.protocol, ports), []);
        }
    });
}

pub(crate) fn spares_what_other_sockets_acquired(sandbox: &Sandbox) {
    each(sandbox, |scene| {
        let (below, between, above) = (scene.socket(), scene.socket(), scene.socket());
        for socket in [&below, &above] {
            assert_ok!(raw::acquire4(socket, 0, 7));
        }
        assert_ok!(raw::acquire4(&between, 1024, 1));
        scene.acquire(&between);
        assert_ok!(raw::acquire4(&between, 65535, 1));
        let others: Vec<_> = [&below, &above].map(raw::instance).into();
        drop(between);
        let map = ports::map(scene.sandbox);
        for instance in others {
            let start = assert_ok!(instance).start;
            assert!((start..start + 7).all(|port| map.contains(scene.protocol, port)));
        }
    });
}

pub(crate) fn of_a_socket_that_serves_itself_ends_it(sandbox: &Sandbox) {
    each(sandbox, |scene| {
        let (socket, instance) = scene.acquired();
        assert_ok!(raw::associate(&socket, instance.token));
        assert_ok!(sock::bind_any(&socket, 0));
        assert!(BLOCK.contains(&sock::local_port(&socket)));
        if scene.protocol == Protocol::Tcp {
            assert_ok!(sock::listen(&socket));
        }
        scene.assert_held();
        drop(socket);
    });
}

pub(crate) fn after_a_release_changes_nothing(sandbox: &Sandbox) {
    each(sandbox, |scene| {
        let (socket, instance) = scene.acquired();
        assert_ok!(raw::release(&socket, instance.token));
        scene.assert_over();
        assert_errno!(raw::release(&socket, instance.token), EINVAL);
        // Another's by now: the close of the first socket is none of its business.
        let (next, _) = scene.acquired();
        drop(socket);
        scene.assert_held();
        drop(next);
    });
}

pub(crate) fn frees_every_port_of_the_largest_block(sandbox: &Sandbox) {
    fs::write("/proc/sys/net/ipv4/ip_local_reserved_ports", "32768-60999").expect("set the sysctl");
    portkeep_tests::enable::enable(sandbox);
    let socket = sock::udp4();
    assert_ok!(raw::acquire4(&socket, 1, 65535));
    assert_eq!(ports::map(sandbox).ranges(Protocol::Udp), [1..=65535]);
    assert_eq!(probe_free(Protocol::Udp, 1..=65535).len(), 65535);
    drop(socket);
    assert_eq!(ports::map(sandbox), ports::PortMap::default());
    assert_eq!(probe_free(Protocol::Udp, 1..=65535), []);
}

pub(crate) fn ends_it_after_the_cgroup_is_gone(sandbox: &Sandbox) {
    each(sandbox, |scene: &Scene<'_>| {
        let cgroup = scene.sandbox.cgroup().join("short-lived");
        fs::create_dir(&cgroup).expect("make a cgroup");
        let (here, there) = portkeep_tests::Channel::pair();
        // The socket's cgroup is that of the process that makes it.
        proc::in_cgroup(&cgroup, || {
            there.send_fd(scene.acquired().0);
            0
        });
        let socket = here.recv_fd();
        fs::remove_dir(&cgroup).expect("remove the cgroup");
        scene.assert_held();
        drop(socket);
    });
}
