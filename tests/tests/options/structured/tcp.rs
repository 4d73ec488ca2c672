//! TCP and Multipath TCP.

use portkeep_tests::libc;

use super::value::{bytes, storage4, words};
use super::{ANY, Add};

const TCP_ZEROCOPY_RECEIVE: i32 = 35;
const TCP_AO_INFO: i32 = 40;
const TCP_AO_GET_KEYS: i32 = 41;
const SOL_MPTCP: i32 = 284;

pub(crate) fn settings(add: Add<'_>) {
    let (inet, stream) = (libc::AF_INET, libc::SOCK_STREAM);
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
}
