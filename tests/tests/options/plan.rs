//! Which calls are made on which sockets.

use std::rc::Rc;

use portkeep_tests::libc;

use crate::call::{Call, LONGEST, get, set};
use crate::kinds::kinds;
use crate::socket::{Kind, State};
use crate::{netfilter, structured};

/// Calls in a row on a new socket.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    pub(crate) kind: Kind,
    pub(crate) calls: Vec<Call>,
}

/// Around what the kernel takes and gives: nothing, a byte, a number, structures, and a page, of
/// which a hook sees no more.
const LENGTHS: [usize; 13] = [0, 1, 2, 3, 4, 8, 16, 64, 128, 4095, 4096, 4097, LONGEST];

/// For the later states of a socket.
const FEW: [usize; 2] = [4, 64];

/// Levels of other protocols: IP, TCP, UDP, IPv6, ICMPv6, SCTP, UDP-Lite, raw, and those of
/// `linux/socket.h` from SOL_ATM on.
fn all_levels() -> impl Iterator<Item = i32> {
    [0, 1, 6, 17, 40, 41, 58, 132, 136, 255]
        .into_iter()
        .chain(263..=288)
}

fn own_levels(kind: Kind) -> Vec<i32> {
    let mut levels = vec![libc::SOL_SOCKET];
    match kind.family {
        libc::AF_INET => levels.push(libc::IPPROTO_IP),
        libc::AF_INET6 => levels.extend([libc::IPPROTO_IPV6, libc::IPPROTO_IP]),
        libc::AF_NETLINK => levels.push(libc::SOL_NETLINK),
        libc::AF_PACKET => levels.push(libc::SOL_PACKET),
        libc::AF_VSOCK => levels.push(libc::AF_VSOCK),
        libc::AF_XDP => levels.push(libc::SOL_XDP),
        _ => {}
    }
    match (kind.kind, kind.protocol) {
        (libc::SOCK_RAW, libc::IPPROTO_ICMP | libc::IPPROTO_ICMPV6) => {
            levels.extend([libc::SOL_RAW, kind.protocol]);
        }
        (libc::SOCK_RAW, _) if kind.family == libc::AF_INET6 => levels.push(libc::SOL_RAW),
        (_, libc::IPPROTO_MPTCP) => levels.extend([libc::IPPROTO_TCP, SOL_MPTCP]),
        (_, 1..) if kind.family != libc::AF_NETLINK => levels.push(kind.protocol),
        _ => {}
    }
    levels.dedup();
    levels
}

const SOL_MPTCP: i32 = 284;

/// The options of all protocols, those of multicast routing, and what is no option.
fn numbers() -> impl Iterator<Item = i32> {
    let more = [i32::MIN, -1, 0x1000, i32::MAX];
    (0..=90).chain(200..=212).chain(more)
}

fn values() -> [Rc<[u8]>; 2] {
    [Rc::from(1_i32.to_ne_bytes()), Rc::from([])]
}

/// Gets and sets at each length; sets to 0 at last.
fn swept(level: i32, option: i32, lengths: &[usize]) -> Vec<Call> {
    let [one, zero] = values();
    let mut calls = vec![
        get(level, option, 0).without_buffer(),
        set(level, option, &zero, 0).without_buffer(),
    ];
    calls.extend(lengths.iter().map(|length| get(level, option, *length)));
    calls.extend(
        lengths
            .iter()
            .map(|length| set(level, option, &one, *length)),
    );
    for length in [4, 64] {
        calls.push(get(level, option, length).asking(&Rc::from(vec![0; length])));
        calls.push(set(level, option, &zero, length));
        calls.push(get(level, option, length));
    }
    calls
}

fn on(kind: Kind) -> Vec<Group> {
    let own = own_levels(kind);
    let fresh = kind.state == State::Fresh;
    let at_all_lengths =
        fresh && (kind.kind != libc::SOCK_RAW || kind.protocol < libc::IPPROTO_IGMP);
    let mut groups = Vec::new();
    for level in &own {
        let lengths: &[usize] = if at_all_lengths { &LENGTHS } else { &FEW };
        let numbers = numbers().filter(|option| !waits(*level, *option));
        groups.extend(numbers.map(|option| Group {
            kind,
            calls: swept(*level, option, lengths),
        }));
    }
    if fresh {
        let foreign = all_levels().filter(|level| !own.contains(level));
        groups.extend(foreign.map(|level| {
            let call = |option| [get(level, option, 4), set(level, option, &values()[0], 4)];
            let calls = (0..24).flat_map(call).collect();
            Group { kind, calls }
        }));
    }
    groups.extend(structured::on(kind));
    groups.extend(netfilter::on(kind));
    if closes_slowly(kind) {
        let calls = groups.into_iter().flat_map(|group| group.calls).collect();
        return vec![Group { kind, calls }];
    }
    groups
}

/// Likewise a change of its rings, of which structured.rs makes one.
fn waits(level: i32, option: i32) -> bool {
    level == libc::SOL_PACKET && [libc::PACKET_RX_RING, libc::PACKET_TX_RING].contains(&option)
}

/// The kernel waits for a grace period when it closes such a socket.
fn closes_slowly(kind: Kind) -> bool {
    [libc::AF_PACKET, libc::AF_XDP].contains(&kind.family)
}

/// All calls, the same each time within a process and its children.
pub(crate) fn make() -> Vec<Group> {
    kinds().into_iter().flat_map(on).collect()
}
