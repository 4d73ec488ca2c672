//! IPv6: multicast, extension headers, ICMPv6.

use portkeep_tests::libc;

use super::value::{GROUP6, LO, LOOPBACK6, bytes, storage6, words};
use super::{ANY, Add};

const MCAST_JOIN_GROUP: i32 = 42;
const MCAST_MSFILTER: i32 = 48;
const IPV6_2292PKTOPTIONS: i32 = 6;
const IPV6_JOIN_ANYCAST: i32 = 27;
const IPV6_FLOWLABEL_MGR: i32 = 32;

pub(crate) fn settings(add: Add<'_>) {
    let (inet6, raw) = (libc::AF_INET6, libc::SOCK_RAW);
    let ipv6 = libc::IPPROTO_IPV6;
    let membership = bytes(&[&GROUP6, &LO.to_ne_bytes()]);
    let group6 = bytes(&[&words(&[LO, 0]), &storage6(GROUP6)]);
    let anycast = bytes(&[&LOOPBACK6, &LO.to_ne_bytes()]);
    add(
        inet6,
        ANY,
        ipv6,
        libc::IPV6_ADD_MEMBERSHIP,
        MCAST_MSFILTER,
        membership,
    );
    add(inet6, ANY, ipv6, MCAST_JOIN_GROUP, MCAST_MSFILTER, group6);
    // One page would hold 30.
    for sources in [0, 1, 29, 30, 31, 60] {
        let filter = filter6(sources);
        add(inet6, ANY, ipv6, MCAST_MSFILTER, ANY, filter);
    }
    add(inet6, ANY, ipv6, IPV6_JOIN_ANYCAST, ANY, anycast.clone());
    add(inet6, ANY, ipv6, libc::IPV6_PKTINFO, ANY, anycast);
    // A header of padding alone, one of 2048 bytes, and a routing header of type 2.
    let padding = vec![0, 0, 1, 4, 0, 0, 0, 0];
    let mut long = vec![0, 254, 1, 250];
    long.resize(254, 0);
    long.extend([1, 253]);
    long.resize(2040, 0);
    let routing = bytes(&[&[0, 2, 2, 1, 0, 0, 0, 0], &LOOPBACK6]);
    for number in [
        libc::IPV6_HOPOPTS,
        libc::IPV6_DSTOPTS,
        libc::IPV6_RTHDRDSTOPTS,
        3,
        4,
    ] {
        add(inet6, ANY, ipv6, number, ANY, padding.clone());
        add(inet6, ANY, ipv6, number, ANY, long.clone());
    }
    for number in [libc::IPV6_RTHDR, 5] {
        add(inet6, ANY, ipv6, number, ANY, routing.clone());
    }
    // struct in6_flowlabel_req: get any label.
    let label = bytes(&[&LOOPBACK6, &[0; 4], &[0, 1], &1_u16.to_ne_bytes(), &[0; 8]]);
    add(inet6, ANY, ipv6, IPV6_FLOWLABEL_MGR, ANY, label);
    add(inet6, ANY, ipv6, IPV6_2292PKTOPTIONS, ANY, Vec::new());
    add(inet6, raw, libc::IPPROTO_ICMPV6, 1, ANY, vec![0xff; 32]);
    add(
        inet6,
        raw,
        libc::SOL_RAW,
        libc::IPV6_CHECKSUM,
        ANY,
        words(&[2]),
    );
}

/// `struct group_filter` that excludes so many sources.
fn filter6(sources: u8) -> Vec<u8> {
    let mut value = words(&[LO, 0]);
    value.extend(storage6(GROUP6));
    // MCAST_EXCLUDE
    value.extend(words(&[0, u32::from(sources)]));
    for source in 1..=sources {
        let mut address = [0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        address[15] = source;
        value.extend(storage6(address));
    }
    value
}
