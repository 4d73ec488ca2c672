//! The control calls against the calls they replace or stand beside.

use portkeep_tests::socket2::Socket;
use std::net::Ipv4Addr;
use std::time::Duration;

use portkeep_tests::socket2::SockRef;
use portkeep_tests::{Sandbox, enable, expect_ok, raw, sock};

use crate::report;
use crate::stopwatch::{in_turn, median, ratio, time};

pub fn measure(sandbox: &Sandbox) {
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

fn plain_pair(socket: &Socket) {
    let socket = SockRef::from(socket);
    socket.set_reuse_address(true).expect("setsockopt");
    socket.reuse_address().expect("getsockopt");
}

fn one_port() {
    let pairs = 64;
    let (acquired, plain) = in_turn(
        400,
        || {
            // Fresh sockets each: what is measured is the first acquire of a socket.
            let sockets: Vec<Socket> = (0..pairs).map(|_| sock::tcp4()).collect();
            time(|| {
                for socket in &sockets {
                    expect_ok(raw::acquire4(socket, 0, 1), "acquire");
                    expect_ok(raw::instance(socket), "read the token");
                }
            })
        },
        || {
            let sockets: Vec<Socket> = (0..pairs).map(|_| sock::tcp4()).collect();
            time(|| sockets.iter().for_each(plain_pair))
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
