//! A filter of binds by rules, as systemd's `SocketBindDeny=` makes one, beside Portkeep.

use std::net::Ipv4Addr;
use std::time::Duration;

use portkeep_admin::remove;
use portkeep_tests::foreign::{BIND, Instruction, PROCEED, attach};
use portkeep_tests::{Sandbox, enable, expect_ok, sock};

use crate::page::{report, section};
use crate::stopwatch::{median, ratio, time};

const RULES: u16 = 128;

/// Compares the port with one range after the other, none of which it is in.
fn filter() -> Vec<Instruction> {
    let immediate = |head: [u8; 4], value: u16| {
        let [low, high] = value.to_le_bytes();
        [head[0], head[1], head[2], head[3], low, high, 0, 0]
    };
    let mut program = vec![
        // r2 = ntohs(ctx->user_port), at 24 of struct bpf_sock_addr.
        [0x61, 0x12, 24, 0, 0, 0, 0, 0],
        immediate([0xdc, 0x02, 0, 0], 16),
    ];
    for rule in 0..RULES {
        let start = 30000 + 16 * rule;
        // if r2 < start goto next; if r2 <= start + 7 goto deny, which is behind what lets pass
        let [low, high] = (2 * (RULES - rule)).to_le_bytes();
        program.push(immediate([0xa5, 0x02, 1, 0], start));
        program.push(immediate([0xb5, 0x02, low, high], start + 7));
    }
    program.extend(PROCEED);
    program.push([0xb7, 0, 0, 0, 0, 0, 0, 0]);
    program.push(PROCEED[1]);
    program
}

fn binds() -> Vec<Duration> {
    let round = || {
        let sockets: Vec<_> = (0..200).map(|_| sock::tcp4()).collect();
        time(|| {
            for (port, socket) in (20000..).zip(&sockets) {
                expect_ok(sock::bind(socket, Ipv4Addr::UNSPECIFIED, port), "bind");
            }
        })
    };
    (0..40).map(|_| round()).collect()
}

pub fn measure(sandbox: &Sandbox) {
    section("A filter of 128 rules, as of SocketBindDeny=, beside Portkeep");
    let installation = enable::installation(sandbox);
    remove(&installation).expect("remove");
    let (mut plain, mut filtered, mut kept) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..15 {
        plain.extend(binds());
        let links: Vec<_> = BIND[..2]
            .iter()
            .map(|hook| attach(*hook, &filter(), sandbox.cgroup()))
            .collect();
        filtered.extend(binds());
        drop(links);
        enable::enable(sandbox);
        kept.extend(binds());
        remove(&installation).expect("remove");
    }
    let plain = median(plain);
    report(
        "TCP bind() with the filter, against none",
        format!("{:.2}", ratio(median(filtered), plain)),
        "",
    );
    report(
        "TCP bind() with Portkeep, whatever it keeps, against none",
        format!("{:.2}", ratio(median(kept), plain)),
        "",
    );
    enable::enable(sandbox);
}
