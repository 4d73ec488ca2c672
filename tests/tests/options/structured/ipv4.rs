//! IPv4: multicast, options of the header, ICMP.

use portkeep_tests::libc;

use super::value::{GROUP4, LO, bytes, storage4, words};
use super::{ANY, Add};

const IP_MSFILTER: i32 = 41;
const MCAST_JOIN_GROUP: i32 = 42;
const MCAST_BLOCK_SOURCE: i32 = 43;
const MCAST_MSFILTER: i32 = 48;
const IP_LOCAL_PORT_RANGE: i32 = 51;

pub(crate) fn settings(add: Add<'_>) {
    let (inet, raw) = (libc::AF_INET, libc::SOCK_RAW);
    let ip = libc::IPPROTO_IP;
    let membership = bytes(&[&GROUP4, &[0; 4], &LO.to_ne_bytes()]);
    let source4 = bytes(&[&GROUP4, &[0, 0, 0, 0], &[10, 0, 0, 9]]);
    let group4 = bytes(&[&words(&[LO, 0]), &storage4(GROUP4)]);
    let source4_of_group = bytes(&[&group4, &storage4([10, 0, 0, 8])]);
    add(
        inet,
        ANY,
        ip,
        libc::IP_MULTICAST_IF,
        ANY,
        membership.clone(),
    );
    add(
        inet,
        ANY,
        ip,
        libc::IP_ADD_MEMBERSHIP,
        IP_MSFILTER,
        membership,
    );
    add(inet, ANY, ip, libc::IP_BLOCK_SOURCE, IP_MSFILTER, source4);
    add(inet, ANY, ip, MCAST_JOIN_GROUP, MCAST_MSFILTER, group4);
    add(
        inet,
        ANY,
        ip,
        MCAST_BLOCK_SOURCE,
        MCAST_MSFILTER,
        source4_of_group,
    );
    // Four times "no operation".
    add(inet, ANY, ip, libc::IP_OPTIONS, ANY, vec![1; 4]);
    add(inet, ANY, ip, libc::IP_OPTIONS, ANY, vec![1; 40]);
    add(
        inet,
        ANY,
        ip,
        IP_LOCAL_PORT_RANGE,
        ANY,
        words(&[40001 << 16 | 40000]),
    );
    add(inet, raw, libc::SOL_RAW, 1, ANY, words(&[0xffff_fffe]));
}
