//! Netlink, packet, vsock and XDP sockets.

use portkeep_tests::libc;

use super::value::{LO, bytes, words};
use super::{ANY, Add};

const NETLINK_LIST_MEMBERSHIPS: i32 = 9;
const XDP_MMAP_OFFSETS: i32 = 1;

pub(crate) fn settings(add: Add<'_>) {
    let raw = libc::SOCK_RAW;
    let netlink = libc::SOL_NETLINK;
    for group in [1, 31, 32, 33, 36] {
        let number = libc::NETLINK_ADD_MEMBERSHIP;
        let list = NETLINK_LIST_MEMBERSHIPS;
        add(
            libc::AF_NETLINK,
            ANY,
            netlink,
            number,
            list,
            words(&[group]),
        );
    }

    let packet = libc::SOL_PACKET;
    let all_multicast = bytes(&[&LO.to_ne_bytes(), &2_u16.to_ne_bytes(), &[0; 10]]);
    let number = libc::PACKET_ADD_MEMBERSHIP;
    add(
        libc::AF_PACKET,
        ANY,
        packet,
        number,
        libc::PACKET_STATISTICS,
        all_multicast,
    );
    for version in [0, 1, 2] {
        let (number, read) = (libc::PACKET_VERSION, libc::PACKET_HDRLEN);
        add(
            libc::AF_PACKET,
            ANY,
            packet,
            number,
            read,
            words(&[version]),
        );
    }
    // One block of one page with two frames.
    let ring = words(&[4096, 1, 2048, 2]);
    add(
        libc::AF_PACKET,
        ANY,
        packet,
        libc::PACKET_RX_RING,
        libc::PACKET_STATISTICS,
        ring,
    );
    add(
        libc::AF_PACKET,
        ANY,
        packet,
        libc::PACKET_FANOUT,
        ANY,
        words(&[0]),
    );

    let timeval = bytes(&[&1_i64.to_ne_bytes(), &0_i64.to_ne_bytes()]);
    let size = 65536_u64.to_ne_bytes();
    for number in 0..=2 {
        add(
            libc::AF_VSOCK,
            ANY,
            libc::AF_VSOCK,
            number,
            ANY,
            size.into(),
        );
    }
    for number in [6, 8] {
        add(
            libc::AF_VSOCK,
            ANY,
            libc::AF_VSOCK,
            number,
            ANY,
            timeval.clone(),
        );
    }
    for number in [2, 5, 6] {
        let rings = words(&[64]);
        add(
            libc::AF_XDP,
            raw,
            libc::SOL_XDP,
            number,
            XDP_MMAP_OFFSETS,
            rings,
        );
    }
}
