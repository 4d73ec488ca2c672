//! One call looks at so many sockets and no more: then it says that it cannot tell.

use std::net::Ipv4Addr;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use portkeep_tests::{
    Protocol, Sandbox, assert_errno, assert_ok, enable, libc, proc, raw, sock, time_wait,
};

use crate::stage::{GREEDY, associated, crowd, let_udp_tables_be_small, set_sysctl, udp_buckets};

/// What a refusal for want of visits leaves: its kind, and none of the ports reserved.
#[track_caller]
fn assert_cannot_tell(sandbox: &Sandbox, protocol: Protocol, start: u16, count: u16) {
    let socket = crate::stage::socket4(protocol);
    assert_errno!(raw::acquire4(&socket, start, count), ENOBUFS);
    let conflict = assert_ok!(raw::conflict(&socket));
    assert_eq!(conflict.kind, raw::CONFLICT_CANNOT_TELL);
    assert_eq!(i32::from(conflict.protocol), {
        match protocol {
            Protocol::Tcp => libc::IPPROTO_TCP,
            Protocol::Udp => libc::IPPROTO_UDP,
        }
    });
    assert!((start..start + count).contains(&conflict.port));
    assert!(
        portkeep_tests::ports::map(sandbox)
            .ports(protocol)
            .is_empty()
    );
}

/// 128 crowded buckets, and no socket at any of the ports that are asked for.
pub(crate) fn an_acquire_of_many_ports(sandbox: &Sandbox) {
    let_udp_tables_be_small();
    enable::enable(sandbox);
    let checked = proc::in_netns(|| {
        assert_eq!(udp_buckets(), 128);
        let crowds = [0, 1, 2].map(|nth| crowd(2048..2048 + 128, 60 + nth));
        assert_cannot_tell(sandbox, Protocol::Udp, 20_000, 4096);
        // As a user, again and again.
        let refused = proc::as_uid(GREEDY, GREEDY, || {
            for _ in 0..20 {
                assert_cannot_tell(sandbox, Protocol::Udp, 20_000, 4096);
            }
            0
        });
        assert_eq!(refused, 0);
        // Fewer ports can be told, and TCP has tables of its own.
        assert_ok!(raw::acquire4(sock::udp4(), 20_000, 64));
        assert_ok!(raw::acquire4(sock::tcp4(), 20_000, 4096));
        drop(crowds);
        assert_ok!(raw::acquire4(sock::udp4(), 20_000, 4096));
        0
    });
    assert_eq!(checked, 0);
}

/// An owner's bind(0) and connect() in a large block with crowded buckets and no port left.
pub(crate) fn a_choice_in_a_full_block(sandbox: &Sandbox) {
    const COUNT: u16 = 2048;
    let_udp_tables_be_small();
    enable::enable(sandbox);
    let checked = proc::in_netns(|| {
        let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).expect("getrlimit");
        setrlimit(Resource::RLIMIT_NOFILE, most, most).expect("setrlimit");
        let keeper = sock::udp4();
        let block = assert_ok!(raw::acquire(&keeper, 20_000, COUNT));
        let _crowd = crowd(2048..2048 + 128, 120);
        let mut bound: Vec<_> = (0..COUNT)
            .map(|index| {
                let socket = associated(Protocol::Udp, block.token);
                assert_ok!(sock::bind_any(&socket, 20_000 + index));
                socket
            })
            .collect();
        let late = associated(Protocol::Udp, block.token);
        let calls: [&dyn Fn() -> Result<(), i32>; 2] = [&|| sock::bind_any(&late, 0), &|| {
            sock::connect(&late, Ipv4Addr::LOCALHOST, 7)
        }];
        for call in calls {
            let errno = call().expect_err("the block is full");
            let kind = assert_ok!(raw::conflict(&late)).kind;
            let answers = [
                (libc::EADDRINUSE, raw::CONFLICT_IN_USE),
                (libc::ENOBUFS, raw::CONFLICT_CANNOT_TELL),
            ];
            assert!(answers.contains(&(errno, kind)), "{errno} {kind}");
            assert_eq!(sock::local_port(&late), 0);
        }
        // What is free is found, if not by the first call: each begins where the last one ended.
        let freed = sock::local_port(bound.remove(1000));
        let found = (0..100).any(|_| sock::bind_any(&late, 0).is_ok());
        assert!(found);
        assert_eq!(sock::local_port(&late), freed);
        0
    });
    assert_eq!(checked, 0);
}

/// TIME_WAITs do not use a port, if they can be looked through.
pub(crate) fn time_waits_on_one_port(sandbox: &Sandbox) {
    const PORT: u16 = 61_100;
    set_sysctl("tcp_max_tw_buckets", "131072");
    enable::enable_with(&portkeep_admin::InstallOptions {
        pool: (PORT - 1, PORT + 1),
        ..enable::options(sandbox)
    });
    leave(PORT, 2000);
    let socket = sock::tcp4();
    let block = assert_ok!(raw::acquire(&socket, PORT, 1));
    assert_ok!(raw::release(&socket, block.token));

    leave(PORT, 58_000);
    let waiting = time_wait::states(PORT).len();
    assert!(waiting > 40_000, "{waiting} TIME_WAITs");
    assert_cannot_tell(sandbox, Protocol::Tcp, PORT, 1);
    assert_cannot_tell(sandbox, Protocol::Tcp, PORT - 1, 3);
    // The wildcard goes around.
    let holders = [sock::tcp4(), sock::tcp4()];
    let mut starts: Vec<_> = holders
        .iter()
        .map(|socket| assert_ok!(raw::acquire(socket, 0, 1)).start)
        .collect();
    starts.sort_unstable();
    assert_eq!(starts, [PORT - 1, PORT + 1]);
    // Where a live socket is, that is told.
    let live = sock::tcp4();
    sock::reuseaddr(&live, true);
    assert_ok!(sock::bind_any(&live, PORT));
    let asking = sock::tcp4();
    let errno = raw::acquire4(&asking, PORT, 1).expect_err("it is in use");
    assert!([libc::EADDRINUSE, libc::ENOBUFS].contains(&errno));
}

/// Leaves TIME_WAITs at the port.
fn leave(port: u16, count: usize) {
    let listener = sock::tcp4();
    sock::reuseaddr(&listener, true);
    assert_ok!(sock::bind_any(&listener, port));
    listener.listen(64).expect("listen");
    for index in 0..count {
        let client = sock::tcp4();
        let last = 1 + (index / 8000) as u8;
        assert_ok!(sock::connect(&client, Ipv4Addr::new(127, 0, 0, last), port));
        // Who closes first keeps the port.
        drop(assert_ok!(sock::accept(&listener)));
    }
}
