//! The kinds of sockets that this kernel has.

use portkeep_tests::libc;

use crate::socket::{Kind, State};

/// Those that could be opened here: of the usual families in every state, of all others fresh.
pub(crate) fn kinds() -> Vec<Kind> {
    use State::{Accepted, Bound, Connected, Fresh, Listening, Pair};

    const STREAM: i32 = libc::SOCK_STREAM;
    const DGRAM: i32 = libc::SOCK_DGRAM;
    const RAW: i32 = libc::SOCK_RAW;
    const SEQPACKET: i32 = libc::SOCK_SEQPACKET;
    let stream = &[Fresh, Bound, Listening, Connected, Accepted][..];
    let datagram = &[Fresh, Bound, Connected][..];
    let alone = &[Fresh][..];
    let bound = &[Fresh, Bound][..];
    let mut kinds = Vec::new();
    let mut add = |family, kind, protocol, states: &[State]| {
        for state in states {
            let kind = Kind::fresh(family, kind, protocol);
            kinds.push(Kind {
                state: *state,
                ..kind
            });
        }
    };
    for (family, icmp) in [
        (libc::AF_INET, libc::IPPROTO_ICMP),
        (libc::AF_INET6, libc::IPPROTO_ICMPV6),
    ] {
        add(family, STREAM, libc::IPPROTO_TCP, stream);
        add(family, STREAM, libc::IPPROTO_MPTCP, stream);
        add(family, STREAM, libc::IPPROTO_SCTP, alone);
        add(family, SEQPACKET, libc::IPPROTO_SCTP, alone);
        add(family, DGRAM, libc::IPPROTO_UDP, datagram);
        add(family, DGRAM, libc::IPPROTO_UDPLITE, alone);
        add(family, DGRAM, icmp, alone);
        add(family, RAW, icmp, bound);
        add(family, RAW, libc::IPPROTO_RAW, alone);
        add(family, RAW, libc::IPPROTO_TCP, alone);
        // IP_MROUTE needs a socket of IGMP.
        add(family, RAW, libc::IPPROTO_IGMP, alone);
    }
    for kind in [STREAM, DGRAM, SEQPACKET] {
        let states: &[State] = match kind {
            DGRAM => &[Fresh, Bound, Connected, Pair],
            _ => &[Fresh, Bound, Listening, Connected, Accepted, Pair],
        };
        add(libc::AF_UNIX, kind, 0, states);
    }
    for protocol in [
        libc::NETLINK_ROUTE,
        libc::NETLINK_SOCK_DIAG,
        libc::NETLINK_NETFILTER,
        libc::NETLINK_GENERIC,
    ] {
        add(libc::AF_NETLINK, RAW, protocol, bound);
    }
    let all = i32::from(0x0003_u16.to_be());
    add(libc::AF_PACKET, DGRAM, 0, alone);
    add(libc::AF_PACKET, RAW, all, bound);
    for kind in [STREAM, DGRAM, SEQPACKET] {
        add(libc::AF_VSOCK, kind, 0, bound);
    }
    let known = [
        libc::AF_INET,
        libc::AF_INET6,
        libc::AF_UNIX,
        libc::AF_NETLINK,
        libc::AF_PACKET,
        libc::AF_VSOCK,
    ];
    for family in (1..=46).filter(|family| !known.contains(family)) {
        for kind in 1..=5 {
            add(family, kind, 0, alone);
        }
    }
    kinds.retain(|kind| kind.open().is_ok());
    kinds
}
