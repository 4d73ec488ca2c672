//! Crowded buckets of the UDP table: ports that are a table's size apart share one, and anybody can
//! bind as many sockets there as he may open.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use portkeep_tests::{Protocol, Sandbox, assert_errno, assert_ok, enable, libc, proc, raw, sock};

use crate::shared::Shared;
use crate::stage::{
    GREEDY, USER, associated, crowd, hold, let_udp_tables_be_small, set_sysctl, socket4,
    udp_buckets,
};

/// A free port; its neighbours in the bucket are the crowd's.
const PORT: u16 = 20_000;

/// In the table of the machine and in one of the namespace's own.
fn in_every_table(body: impl Fn(u16)) {
    set_sysctl("ip_local_reserved_ports", "1-65535");
    let buckets = udp_buckets();
    if PORT.checked_add(buckets).is_some() {
        body(buckets);
    }
    let_udp_tables_be_small();
    let checked = proc::in_netns(|| {
        set_sysctl("ip_local_reserved_ports", "1-65535");
        let buckets = udp_buckets();
        assert_eq!(buckets, 128);
        body(buckets);
        0
    });
    assert_eq!(checked, 0);
}

pub(crate) fn a_free_port_is_acquired(sandbox: &Sandbox) {
    enable::enable(sandbox);
    in_every_table(|buckets| {
        for sockets in [1100, 5000] {
            let crowd = crowd([PORT + buckets].into_iter(), sockets);
            for uid in [0, USER] {
                let acquired = proc::as_uid(uid.max(1), uid.max(1), || {
                    for (start, count) in [(PORT, 1), (PORT - 3, 8)] {
                        let socket = sock::udp4();
                        let block = assert_ok!(raw::acquire(&socket, start, count));
                        // And is free indeed.
                        for port in start..start + count {
                            let own = associated(Protocol::Udp, block.token);
                            assert_ok!(sock::bind_any(&own, port));
                        }
                    }
                    0
                });
                assert_eq!(acquired, 0);
            }
            // The crowd's own port is in use, and the answer is at once.
            let socket = sock::udp4();
            assert_errno!(raw::acquire4(&socket, PORT + buckets, 1), EADDRINUSE);
            let conflict = assert_ok!(raw::conflict(&socket));
            assert_eq!(
                (conflict.kind, conflict.port, conflict.owner_uid),
                (raw::CONFLICT_IN_USE, PORT + buckets, GREEDY)
            );
            drop(crowd);
        }
    });
}

/// A reservation that is there before the crowd comes; its owner binds in every way.
pub(crate) fn an_owner_binds(sandbox: &Sandbox) {
    enable::enable(sandbox);
    in_every_table(|buckets| {
        for sockets in [1100, 5000] {
            for count in [1, 4] {
                let keeper = sock::udp4();
                let block = assert_ok!(raw::acquire(&keeper, PORT, count));
                let ports = PORT..PORT + count;
                let crowd = crowd(
                    ports.clone().map(|port| port + buckets),
                    sockets / usize::from(count),
                );
                let bound: Vec<_> = ports
                    .clone()
                    .map(|_| {
                        let own = associated(Protocol::Udp, block.token);
                        assert_ok!(sock::bind_any(&own, 0));
                        own
                    })
                    .collect();
                let chosen: BTreeSet<_> = bound.iter().map(sock::local_port).collect();
                assert_eq!(chosen, ports.clone().collect());
                let late = associated(Protocol::Udp, block.token);
                assert_errno!(sock::bind_any(&late, 0), EADDRINUSE);
                drop(bound);
                // By connect(), and by number.
                let own = associated(Protocol::Udp, block.token);
                assert_ok!(sock::connect(&own, Ipv4Addr::LOCALHOST, 7));
                assert!(ports.contains(&sock::local_port(&own)));
                drop(own);
                assert_ok!(sock::bind_any(associated(Protocol::Udp, block.token), PORT));
                drop(crowd);
            }
        }
    });
}

/// A wildcard goes around what cannot be told, and around the crowd itself.
pub(crate) fn a_wildcard_is_served(sandbox: &Sandbox) {
    let_udp_tables_be_small();
    enable::enable_with(&portkeep_admin::InstallOptions {
        pool: (PORT, PORT + 255),
        ..enable::options(sandbox)
    });
    let checked = proc::in_netns(|| {
        // All ports but one of each bucket, in half of the buckets.
        let _crowd = crowd(PORT + 128..PORT + 192, 100);
        for count in [1, 16, 128] {
            let socket = sock::udp4();
            let block = assert_ok!(raw::acquire(&socket, 0, count));
            let crowded = PORT + 128..PORT + 192;
            assert!(!crowded.contains(&block.start));
        }
        0
    });
    assert_eq!(checked, 0);
}

/// Sockets that come and go lead walks astray; a free port can be had all the same.
pub(crate) fn a_crowd_that_moves(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let buckets = udp_buckets();
    let Some(crowded) = PORT.checked_add(buckets) else {
        portkeep_tests::skip("no two ports share a bucket");
    };
    let over = Shared::new();
    let bind = |port| {
        let socket = sock::udp4();
        sock::reuseaddr(&socket, true);
        assert_ok!(sock::bind(&socket, Ipv4Addr::LOCALHOST, port));
        socket
    };
    let still = hold(GREEDY, || (0..500).map(|_| bind(crowded)).collect());
    let moving = proc::fork_child(|| {
        proc::drop_privileges(GREEDY, GREEDY);
        let mut turn = 0;
        while over.get() == 0 {
            // Its memory serves a socket of another bucket next.
            drop(bind(crowded));
            turn = (turn + 1) % 100;
            drop(bind(10_000 + turn));
        }
        0
    });
    let mut granted = 0;
    for _ in 0..5000 {
        let socket = socket4(Protocol::Udp);
        match raw::acquire4(&socket, PORT, 1) {
            Ok(()) => granted += 1,
            Err(errno) => {
                let kind = assert_ok!(raw::conflict(&socket)).kind;
                let cannot_tell = (libc::ENOBUFS, raw::CONFLICT_CANNOT_TELL);
                assert_eq!((errno, kind), cannot_tell, "in use, it is not");
            }
        }
    }
    over.set(1);
    assert_eq!(moving.code(), 0);
    drop(still);
    println!("{granted} of 5000 granted");
    assert!(granted > 2500, "{granted} of 5000 granted");
}
