//! Which ports wildcards get.

use std::collections::BTreeSet;
use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::ops::RangeInclusive;

use portkeep::{Backend, ErrorKind, Reservation};
use portkeep_tests::{Sandbox, proc, time_wait};

use crate::backends::{USER, each, request};

const POOL: RangeInclusive<u16> = 61000..=65535;

/// So that a client of the last owner does not reach the next one.
pub(crate) fn a_port_that_was_given_back_is_not_the_next(sandbox: &Sandbox) {
    each(sandbox, |_| {
        let starts: Vec<u16> = (0..40)
            .map(|_| {
                request()
                    .count(2)
                    .align(2)
                    .acquire()
                    .expect("acquire")
                    .start()
            })
            .collect();
        let different: BTreeSet<_> = starts.iter().collect();
        // By chance some come again; of 2268 places half of them never do.
        assert!(different.len() > starts.len() / 2, "{starts:?}");
    });
}

/// The whole pool in `TIME_WAIT`, but for a few ports: wildcards get these, and only then the others.
pub(crate) fn held_wildcards_avoid_time_wait(_: &Sandbox) {
    portkeep_tests::without_portkeep();
    const FREE: [RangeInclusive<u16>; 3] = [61500..=61500, 62001..=62002, 64003..=64038];
    let is_free = |port: &u16| FREE.iter().any(|free| free.contains(port));
    fs::write("/proc/sys/net/ipv4/tcp_max_tw_buckets", "100000").expect("set it");
    let remains = POOL.filter(|port| !is_free(port));
    time_wait::leave_all(Ipv4Addr::LOCALHOST, remains);
    let body = || {
        let held = || Reservation::builder().backend(Backend::Held);
        let block = held().count(30).align(4).acquire().expect("acquire");
        assert_eq!(block.start(), 64004);
        let pair = held().tcp().udp().count(2).align(2).acquire();
        let pair = pair.expect("acquire");
        assert!(
            [64034, 64036].contains(&pair.start()),
            "{} is not a free even pair",
            pair.start()
        );
        let rest = FREE.into_iter().flatten().count() - 32;
        let singles: Vec<_> = (0..rest)
            .map(|_| held().acquire().expect("acquire"))
            .collect();
        let starts: BTreeSet<u16> = singles.iter().map(Reservation::start).collect();
        assert_eq!(starts.len(), rest);
        assert!(starts.iter().all(is_free), "{starts:?}");
        // Now there are no others. A program that sets SO_REUSEADDR can use them.
        let beside = held().count(30).acquire().expect("acquire");
        assert!(!beside.ports().any(|port| is_free(&port)));
        let port = beside.start();
        let states = time_wait::states(port);
        assert_eq!(states, [time_wait::TIME_WAIT]);
        let bound = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).expect_err("a stranger");
        assert_eq!(bound.kind(), std::io::ErrorKind::AddrInUse);
        let _listener = beside
            .tcp_listener(Ipv4Addr::LOCALHOST, Some(port))
            .expect("listen");
        let error = held().port(port).acquire().expect_err("reserved");
        assert_eq!(error.kind(), ErrorKind::Reserved);
        0
    };
    assert_eq!(proc::fork_child(body).code(), 0, "as root");
    assert_eq!(proc::as_uid(USER, USER, body), 0, "as an ordinary user");
}

/// A fixed block of many such ports, which reads the kernel's list twice and not for each port.
pub(crate) fn fixed_ports_are_had_beside_time_wait(sandbox: &Sandbox) {
    let ports = 61100..=61299;
    let living = 61250;
    each(sandbox, |_| {
        time_wait::leave_all(
            Ipv4Addr::LOCALHOST,
            ports.clone().filter(|it| *it != living),
        );
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, living)).expect("listen");
        let error = request()
            .range(ports.clone())
            .acquire()
            .expect_err("in use");
        assert_eq!(error.kind(), ErrorKind::InUse);
        assert_eq!(error.conflict().and_then(|it| it.port), Some(living));
        drop(listener);
        let reservation = request().range(ports.clone()).acquire().expect("acquire");
        crate::strangers::assert_kept(ports.clone(), &[portkeep::Protocol::Tcp]);
        drop(reservation);
    });
}
