//! What the kernel says, asked without the command under test.

use std::fs;
use std::ops::RangeInclusive;
use std::os::fd::OwnedFd;
use std::path::Path;

use portkeep_tests::ports::probe_free;
use portkeep_tests::reservations::{self, Reservation};
use portkeep_tests::{Protocol, Sandbox, assert_errno, assert_ok, libc, raw, sock};

/// Both protocols.
pub const PROTOCOLS: [Protocol; 2] = [Protocol::Tcp, Protocol::Udp];

/// Acquires a block in this process, which holds it until the descriptor is dropped.
#[track_caller]
pub fn acquire(protocol: Protocol, ports: RangeInclusive<u16>) -> OwnedFd {
    let socket = match protocol {
        Protocol::Tcp => sock::tcp4(),
        Protocol::Udp => sock::udp4(),
    };
    let count = ports.end() - ports.start() + 1;
    assert_ok!(raw::acquire4(&socket, *ports.start(), count));
    socket.into()
}

/// Asserts that this process, which owns none of the ports, can bind none of them.
#[track_caller]
pub fn assert_kept(protocol: Protocol, ports: RangeInclusive<u16>) {
    let refused: Vec<_> = ports.clone().map(|port| (port, libc::EADDRINUSE)).collect();
    assert_eq!(probe_free(protocol, ports), refused);
}

/// Asserts that this process can bind each of the ports.
#[track_caller]
pub fn assert_free(protocol: Protocol, ports: RangeInclusive<u16>) {
    assert_eq!(probe_free(protocol, ports), []);
}

/// Asserts that nothing is reserved in any network namespace.
#[track_caller]
pub fn assert_nothing_reserved(sandbox: &Sandbox) {
    assert_eq!(reservations::list(sandbox), []);
}

/// The protocols and ports of the reservations, in their order.
pub fn reserved(sandbox: &Sandbox) -> Vec<(Protocol, RangeInclusive<u16>)> {
    let list = reservations::list(sandbox).into_iter();
    let mut reserved: Vec<_> = list.map(|entry| (entry.protocol, entry.ports)).collect();
    reserved.sort_by_key(|(protocol, ports)| (*protocol, *ports.start()));
    reserved
}

/// The one reservation that there is.
#[track_caller]
pub fn the_reservation(sandbox: &Sandbox) -> Reservation {
    let list = reservations::list(sandbox);
    let [only] = list.as_slice() else {
        panic!("not one reservation: {list:?}")
    };
    only.clone()
}

/// What a control call comes to: `EINVAL` for the token, or `ENOPROTOOPT` without the kernel part.
/// (A get call would not tell: there the kernel itself answers with an errno of its own.)
pub fn control_call() -> Result<(), i32> {
    raw::release(sock::udp4(), 0)
}

/// Asserts that this process has the control calls.
#[track_caller]
pub fn assert_enabled() {
    assert_errno!(control_call(), EINVAL);
    assert_eq!(assert_ok!(raw::version(sock::udp4())), 1);
}

/// Asserts that no program answers the control calls of this process and that nothing is pinned.
#[track_caller]
pub fn assert_removed(bpffs: &Path) {
    portkeep_tests::without_portkeep();
    assert_errno!(control_call(), ENOPROTOOPT);
    assert_eq!(pinned(bpffs), [] as [&str; 0]);
}

/// What is pinned in a BPF file system, but for what the kernel puts there.
pub fn pinned(bpffs: &Path) -> Vec<String> {
    let entries = fs::read_dir(bpffs).expect("read the BPF file system");
    entries
        .map(|entry| entry.expect("read the BPF file system").file_name())
        .filter_map(|name| name.into_string().ok())
        .filter(|name| !name.ends_with(".debug"))
        .collect()
}

/// How many file systems are mounted at a directory, one over the other.
pub fn mounts_at(directory: &Path) -> usize {
    let mounts = fs::read_to_string("/proc/self/mounts").expect("read the mounts");
    let target = directory.to_str().expect("a path in UTF-8");
    mounts
        .lines()
        .filter(|line| line.split(' ').nth(1) == Some(target))
        .count()
}

/// Writes a setting of this network namespace, `/proc/sys/net/ipv4/…`.
pub fn set_ipv4(name: &str, value: &str) {
    fs::write(format!("/proc/sys/net/ipv4/{name}"), value).expect("write the setting");
}
