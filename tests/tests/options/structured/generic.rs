//! Options of all sockets.

use portkeep_tests::libc;

use super::value::{bytes, words};
use super::{ANY, Add};

const SO_ATTACH_REUSEPORT_CBPF: i32 = 51;
const SO_MEMINFO: i32 = 55;
const SO_PEERGROUPS: i32 = 59;
const SO_RCVTIMEO_NEW: i32 = 66;
const SO_SNDTIMEO_NEW: i32 = 67;

pub(crate) fn settings(add: Add<'_>) {
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
