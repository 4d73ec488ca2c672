//! What the trials have in common.

use std::fs;
use std::net::Ipv4Addr;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use portkeep_tests::proc::{self, Child};
use portkeep_tests::socket2::Socket;
use portkeep_tests::{Event, Protocol, assert_ok, raw, skip_before, sock};

pub(crate) const BOTH: [Protocol; 2] = [Protocol::Tcp, Protocol::Udp];

/// The user who takes more than is due.
pub(crate) const GREEDY: u32 = 60_000;

/// Another user.
pub(crate) const USER: u32 = 50_000;

pub(crate) fn socket4(protocol: Protocol) -> Socket {
    match protocol {
        Protocol::Tcp => sock::tcp4(),
        Protocol::Udp => sock::udp4(),
    }
}

/// Sets a sysctl of this network namespace.
#[track_caller]
pub(crate) fn set_sysctl(name: &str, value: &str) {
    fs::write(format!("/proc/sys/net/ipv4/{name}"), value)
        .unwrap_or_else(|error| panic!("set {name} to {value:?}: {error}"));
}

/// How many buckets the UDP table has that this network namespace uses. Ports that far apart share
/// one.
pub(crate) fn udp_buckets() -> u16 {
    let value = fs::read_to_string("/proc/sys/net/ipv4/udp_hash_entries");
    // Linux 6.2; negative: the table of the initial namespace.
    let buckets: Option<i32> = value.ok().and_then(|value| value.trim().parse().ok());
    let Some(buckets) = buckets else {
        skip_before("6.2", "the size of the UDP table is not known");
    };
    u16::try_from(buckets.unsigned_abs()).unwrap_or(u16::MAX)
}

/// Lets network namespaces made from this one have UDP tables of 128 buckets.
pub(crate) fn let_udp_tables_be_small() {
    if fs::write("/proc/sys/net/ipv4/udp_child_hash_entries", "128").is_err() {
        skip_before("6.2", "no UDP tables of namespaces' own");
    }
}

/// A process of a user's that has sockets and does nothing more; dropping it ends them.
pub(crate) fn hold(uid: u32, sockets: impl FnOnce() -> Vec<Socket>) -> Child {
    let ready = Event::new();
    let child = proc::fork_child(|| {
        let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).expect("getrlimit");
        setrlimit(Resource::RLIMIT_NOFILE, most, most).expect("setrlimit");
        proc::drop_privileges(uid, uid);
        let _held = sockets();
        ready.set();
        loop {
            nix::unistd::pause();
        }
    });
    ready.wait();
    child
}

/// Sockets of a user's, so many at each of these ports.
pub(crate) fn crowd(ports: impl Iterator<Item = u16> + Clone, each: usize) -> Child {
    hold(GREEDY, || {
        let bind = |port| {
            let socket = sock::udp4();
            sock::reuseaddr(&socket, true);
            assert_ok!(sock::bind(&socket, Ipv4Addr::LOCALHOST, port));
            socket
        };
        ports
            .flat_map(|port| std::iter::repeat_n(port, each))
            .map(bind)
            .collect()
    })
}

/// An unbound socket, associated with a reservation of this process's.
#[track_caller]
pub(crate) fn associated(protocol: Protocol, token: u64) -> Socket {
    let socket = socket4(protocol);
    assert_ok!(raw::associate(&socket, token));
    socket
}
