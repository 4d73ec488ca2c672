//! The control calls against the calls they replace or stand beside.

use std::hint::black_box;
use std::net::Ipv4Addr;
use std::os::fd::AsRawFd;
use std::time::Duration;

use portkeep_tests::socket2::Socket;
use portkeep_tests::{Sandbox, enable, expect_ok, libc, raw, sock};

use crate::page::{report, section};
use crate::stopwatch::{in_turn, median, ratio, time};

pub fn measure(sandbox: &Sandbox) {
    section("Acquiring");
    enable::enable(sandbox);
    thousand_ports();
    one_port();
    fragmented_pool();
}

/// Each side several times in a row, so that neither starts with the other's caches.
fn thousand_ports() {
    const START: u16 = 20000;
    const ROW: u32 = 10;
    let (acquired, bound) = in_turn(
        40,
        || {
            let acquire = || {
                let socket = sock::tcp4();
                time(|| expect_ok(raw::acquire4(&socket, START, 1000), "acquire"))
            };
            median((0..ROW).map(|_| acquire()).collect())
        },
        || {
            let bind = || {
                let mut sockets = Vec::with_capacity(1000);
                time(|| {
                    for port in START..START + 1000 {
                        let socket = sock::tcp4();
                        expect_ok(sock::bind(&socket, Ipv4Addr::UNSPECIFIED, port), "bind");
                        sockets.push(socket);
                    }
                })
            };
            median((0..ROW).map(|_| bind()).collect())
        },
    );
    report(
        &format!("acquire 1000 ports ({acquired:.1?}), times faster than binding 1000 sockets"),
        format!("{:.0}", ratio(bound, acquired)),
        ">= 300",
    );
}

/// `setsockopt(2)` with nothing around it that would be measured too.
fn set<const N: usize>(socket: &Socket, level: i32, option: i32, value: [u8; N]) {
    // SAFETY: `value` is readable for its length.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            option,
            value.as_ptr().cast(),
            N as _,
        )
    };
    assert_eq!(result, 0, "setsockopt {option:#x}");
}

/// `getsockopt(2)`, likewise.
fn get<const N: usize>(socket: &Socket, level: i32, option: i32) -> [u8; N] {
    let mut value = [0; N];
    let mut length = N as libc::socklen_t;
    // SAFETY: `value` has room for `length` bytes.
    let result = unsafe {
        let value = value.as_mut_ptr().cast();
        libc::getsockopt(socket.as_raw_fd(), level, option, value, &mut length)
    };
    assert_eq!(result, 0, "getsockopt {option:#x}");
    value
}

/// Fresh sockets each time: what is measured is the first acquire of a socket.
fn on_fresh_sockets(work: impl Fn(&Socket)) -> Duration {
    let sockets: Vec<Socket> = (0..64).map(|_| sock::tcp4()).collect();
    time(|| sockets.iter().for_each(work))
}

fn one_port() {
    let [low, high] = 1u16.to_ne_bytes();
    let any_one = [0, 0, low, high];
    let (acquired, plain) = in_turn(
        400,
        || {
            on_fresh_sockets(|socket| {
                set(socket, raw::SOL_PORTKEEP, raw::ACQUIRE, any_one);
                black_box(get::<16>(socket, raw::SOL_PORTKEEP, raw::ACQUIRE));
            })
        },
        || {
            on_fresh_sockets(|socket| {
                set(
                    socket,
                    libc::SOL_SOCKET,
                    libc::SO_REUSEADDR,
                    1i32.to_ne_bytes(),
                );
                black_box(get::<4>(socket, libc::SOL_SOCKET, libc::SO_REUSEADDR));
            })
        },
    );
    report(
        "acquire 1 port + read token / plain setsockopt + getsockopt",
        format!("{:.2}", ratio(acquired, plain)),
        "<= 3",
    );
}

/// Nine ports of ten taken one by one, so that a search passes over every hole; the only block of
/// 64 that is free lies at the end of the pool.
fn fragmented_pool() {
    let filler = sock::tcp4();
    for port in (enable::POOL_START..=enable::POOL_END - 64).filter(|port| port % 10 != 0) {
        expect_ok(raw::acquire4(&filler, port, 1), "acquire");
    }
    let times: Vec<Duration> = (0..1000)
        .map(|_| {
            let socket = sock::tcp4();
            time(|| expect_ok(raw::acquire4(&socket, 0, 64), "acquire"))
        })
        .collect();
    report(
        "wildcard acquire of 64 ports, pool 90 % full in pieces",
        format!("{:.1?}", median(times)),
        "<= 20 µs",
    );
}
