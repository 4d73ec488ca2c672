//! Clients in other namespaces than the server's.

use std::process;

use nix::sched::{CloneFlags, unshare};
use portkeep_tests::proc::{self, fork_child};
use portkeep_tests::{Sandbox, enable, reservations, sock};

use crate::client::{ask, serve};

pub fn a_number_is_of_the_clients_namespace(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let at = "@portkeep-test";
    let _server = serve(at, &[]);
    let outside = process::id();
    let namespace = fork_child(|| {
        unshare(CloneFlags::CLONE_NEWPID).expect("unshare the process namespace");
        // Process 1 is in the way of all others: there is no port for it.
        fork_child(|| {
            assert_eq!(process::id(), 1);
            assert_eq!(ask(at, 1), None);
            // A number that means a process out there, and nobody in here.
            assert_eq!(ask(at, outside), None);
            let client = fork_child(|| {
                assert_eq!(process::id(), 2);
                let port = ask(at, 2).expect("a port for itself");
                sock::bind_any(sock::tcp4(), port).expect("bind");
                // Its own child, and its parent's other children, are not among its ancestors.
                let child = fork_child(|| {
                    let port = ask(at, 2).expect("a port for its parent");
                    sock::bind_any(sock::tcp4(), port).expect("bind, as a descendant");
                    i32::from(ask(at, 4).is_some())
                });
                child.code()
            });
            client.code()
        })
        .code()
    });
    assert_eq!(namespace.code(), 0);
    crate::common::eventually(|| reservations::list(sandbox).is_empty());
    // A server below cannot tell who a client above is.
    let inner = "@portkeep-inner";
    let (here, there) = portkeep_tests::Channel::pair();
    let below = fork_child(|| {
        unshare(CloneFlags::CLONE_NEWPID).expect("unshare the process namespace");
        fork_child(|| {
            let _server = serve(inner, &[]);
            there.send(0);
            there.recv() as i32
        })
        .code()
    });
    assert_eq!(here.recv(), 0);
    assert_eq!(ask(inner, outside), None);
    assert_eq!(ask(inner, 2), None);
    here.send(0);
    assert_eq!(below.code(), 0);
}

pub fn a_process_of_another_network_namespace_gets_nothing(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let file = std::env::temp_dir().join(format!("portkeep-netns-{}", process::id()));
    let at = file.to_str().expect("a path in UTF-8");
    let _server = serve(at, &[]);
    let refused = proc::in_netns(|| i32::from(ask(at, process::id()).is_some()));
    assert_eq!(refused, 0);
    assert_eq!(reservations::list(sandbox), []);
    assert_ne!(ask(at, process::id()), None);
}
