//! Options whose values are structures, lists or names, set to what the kernel takes.

use std::rc::Rc;

use portkeep_tests::libc;

use crate::call::{Call, LONGEST, get, set};
use crate::plan::Group;
use crate::socket::Kind;

/// Lengths at which lists and structures are read: too short, just so, too long, over a page.
const READ: [usize; 18] = [
    0, 1, 2, 3, 4, 5, 8, 12, 16, 20, 32, 64, 136, 256, 1024, 4096, 4097, LONGEST,
];

/// What the numbers of a socket's type and protocol do not say.
const ANY: i32 = -1;

struct Option {
    family: i32,
    kind: i32,
    level: i32,
    number: i32,
    value: Vec<u8>,
    /// The one that reads it, where it is another.
    read: i32,
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_ne_bytes()).collect()
}

/// Several parts, one behind another.
fn bytes(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

const LO: u32 = 1;
const GROUP4: [u8; 4] = [239, 1, 2, 3];
const GROUP6: [u8; 16] = [0xff, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9];
const LOOPBACK6: [u8; 16] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];

/// `struct sockaddr_storage` of an address.
fn storage4(address: [u8; 4]) -> Vec<u8> {
    let mut value = 2_u16.to_ne_bytes().to_vec();
    value.extend([0, 0]);
    value.extend(address);
    value.resize(128, 0);
    value
}

fn storage6(address: [u8; 16]) -> Vec<u8> {
    let mut value = 10_u16.to_ne_bytes().to_vec();
    value.resize(8, 0);
    value.extend(address);
    value.resize(128, 0);
    value
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

/// `struct sock_fprog` of so many instructions, which stay for the whole run.
fn packet_filter(instructions: usize) -> Vec<u8> {
    // BPF_LD | BPF_IMM, and BPF_RET | BPF_K of everything at last.
    let mut program = vec![[0_u8, 0, 0, 0, 0, 0, 0, 0]; instructions];
    program[instructions - 1] = [6, 0, 0, 0, 0xff, 0xff, 0, 0];
    let program: &'static [[u8; 8]] = program.leak();
    let mut value = u64::try_from(instructions)
        .expect("a number")
        .to_ne_bytes()
        .to_vec();
    value.extend((program.as_ptr() as usize).to_ne_bytes());
    value
}

fn options() -> Vec<Option> {
    let mut options = Vec::new();
    let mut add = |family, kind, level, number, read, value: Vec<u8>| {
        options.push(Option {
            family,
            kind,
            level,
            number,
            value,
            read: if read == ANY { number } else { read },
        });
    };
    let (inet, inet6) = (libc::AF_INET, libc::AF_INET6);
    let (stream, raw) = (libc::SOCK_STREAM, libc::SOCK_RAW);

    let socket = libc::SOL_SOCKET;
    let timeval = bytes(&[&1_i64.to_ne_bytes(), &0_i64.to_ne_bytes()]);
    for number in [
        libc::SO_RCVTIMEO,
        libc::SO_SNDTIMEO,
        SO_RCVTIMEO_NEW,
        SO_SNDTIMEO_NEW,
    ] {
        add(ANY, ANY, socket, number, ANY, timeval.clone());
    }
    add(ANY, ANY, socket, libc::SO_LINGER, ANY, words(&[1, 5]));
    add(ANY, ANY, socket, libc::SO_BINDTODEVICE, ANY, b"lo\0".into());
    for size in [1, 3, 600] {
        let filter = packet_filter(size);
        add(ANY, ANY, socket, libc::SO_ATTACH_FILTER, ANY, filter);
    }
    let filter = packet_filter(1);
    add(ANY, ANY, socket, SO_ATTACH_REUSEPORT_CBPF, ANY, filter);
    let clock = words(&[libc::CLOCK_MONOTONIC.cast_unsigned(), 0]);
    add(ANY, ANY, socket, libc::SO_TXTIME, ANY, clock);
    // SOF_TIMESTAMPING_SOFTWARE | SOF_TIMESTAMPING_RX_SOFTWARE
    add(
        ANY,
        ANY,
        socket,
        libc::SO_TIMESTAMPING,
        ANY,
        words(&[24, 0]),
    );
    add(
        ANY,
        ANY,
        socket,
        libc::SO_MAX_PACING_RATE,
        ANY,
        words(&[1, 1]),
    );
    for number in [
        libc::SO_PEERSEC,
        SO_PEERGROUPS,
        libc::SO_PEERCRED,
        SO_MEMINFO,
    ] {
        add(ANY, ANY, socket, number, ANY, Vec::new());
    }

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

    let tcp = libc::IPPROTO_TCP;
    for name in [&b"reno\0"[..], b"cubic", b"reno\0\0\0\0\0\0\0\0\0\0\0\0"] {
        add(ANY, stream, tcp, libc::TCP_CONGESTION, ANY, name.into());
    }
    add(ANY, stream, tcp, libc::TCP_ULP, ANY, b"tls\0".into());
    for length in [16, 32] {
        add(
            ANY,
            stream,
            tcp,
            libc::TCP_FASTOPEN_KEY,
            ANY,
            vec![7; length],
        );
    }
    add(
        ANY,
        stream,
        tcp,
        libc::TCP_REPAIR,
        libc::TCP_REPAIR_WINDOW,
        words(&[1]),
    );
    // struct tcp_md5sig with a key of four bytes.
    let peer = storage4([127, 0, 0, 1]);
    let key = bytes(&[&peer, &[0, 0, 4, 0], &[0; 4], b"keys", &[0; 76]]);
    add(inet, stream, tcp, libc::TCP_MD5SIG, ANY, key);
    for number in [
        libc::TCP_INFO,
        libc::TCP_CC_INFO,
        libc::TCP_SAVED_SYN,
        TCP_ZEROCOPY_RECEIVE,
        TCP_AO_INFO,
        TCP_AO_GET_KEYS,
    ] {
        add(ANY, stream, tcp, number, ANY, Vec::new());
    }
    for number in [1, 2, 3, 4] {
        add(ANY, stream, SOL_MPTCP, number, ANY, Vec::new());
    }

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
    options
}

impl Option {
    fn concerns(&self, kind: Kind) -> bool {
        let is = |wanted, there| wanted == ANY || wanted == there;
        is(self.family, kind.family)
            && is(self.kind, kind.kind)
            // Most options of other families are only answered.
            && (self.family != ANY || self.level != libc::SOL_SOCKET || kind.protocol < 4)
    }

    fn calls(&self) -> Vec<Call> {
        let value: Rc<[u8]> = Rc::from(self.value.as_slice());
        let mut calls = Vec::new();
        if !value.is_empty() {
            calls.push(set(self.level, self.number, &value, value.len()));
        }
        for length in READ {
            let mut call = get(self.level, self.read, length);
            if (self.level, self.read) == (libc::SOL_SOCKET, libc::SO_ATTACH_FILTER) {
                // SO_GET_FILTER counts instructions.
                call.room = Some((8 * length).min(LONGEST));
            }
            calls.push(call.clone().asking(&value));
            calls.push(call);
        }
        calls.push(get(self.level, self.read, 0).without_buffer());
        // Shorter and longer than it is, and again.
        for length in [value.len() / 2, value.len() + 1, 4096, 5000] {
            calls.push(set(self.level, self.number, &value, length));
            calls.push(get(self.level, self.read, length).asking(&value));
        }
        calls
    }
}

pub(crate) fn on(kind: Kind) -> Vec<Group> {
    let options = options();
    let concerned = options.iter().filter(|option| option.concerns(kind));
    concerned
        .map(|option| Group {
            kind,
            calls: option.calls(),
        })
        .collect()
}

const SO_ATTACH_REUSEPORT_CBPF: i32 = 51;
const SO_MEMINFO: i32 = 55;
const SO_PEERGROUPS: i32 = 59;
const SO_RCVTIMEO_NEW: i32 = 66;
const SO_SNDTIMEO_NEW: i32 = 67;
const IP_MSFILTER: i32 = 41;
const MCAST_JOIN_GROUP: i32 = 42;
const MCAST_BLOCK_SOURCE: i32 = 43;
const MCAST_MSFILTER: i32 = 48;
const IP_LOCAL_PORT_RANGE: i32 = 51;
const IPV6_2292PKTOPTIONS: i32 = 6;
const IPV6_JOIN_ANYCAST: i32 = 27;
const IPV6_FLOWLABEL_MGR: i32 = 32;
const TCP_ZEROCOPY_RECEIVE: i32 = 35;
const TCP_AO_INFO: i32 = 40;
const TCP_AO_GET_KEYS: i32 = 41;
const SOL_MPTCP: i32 = 284;
const NETLINK_LIST_MEMBERSHIPS: i32 = 9;
const XDP_MMAP_OFFSETS: i32 = 1;
