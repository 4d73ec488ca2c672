//! What grows with the number of reservations, of network namespaces and of those who acquire: not
//! the cost of a bind.

use std::net::Ipv4Addr;
use std::thread;
use std::time::Duration;

use nix::sched::{CloneFlags, unshare};
use portkeep_tests::socket2::Socket;
use portkeep_tests::{Sandbox, enable, expect_ok, proc, raw, sock};

use crate::page::{Plot, plot, report, section};
use crate::stopwatch::{median, ratio, time};

/// Binds to a free port whose neighbour is reserved, so that no short cut spares the look-up.
fn binds() -> Duration {
    let round = || {
        let sockets: Vec<Socket> = (0..200).map(|_| sock::tcp4()).collect();
        let bind = |socket: Socket| {
            time(|| expect_ok(sock::bind(&socket, Ipv4Addr::UNSPECIFIED, 1101), "bind"))
        };
        sockets.into_iter().map(bind).sum()
    };
    median((0..40).map(|_| round()).collect())
}

/// So many reservations of one port, with two free ones behind each.
fn beside_reservations(count: usize) -> Duration {
    let administrator = sock::tcp4();
    let ports = || (1100..).step_by(3).take(count);
    for port in ports() {
        expect_ok(raw::create(&administrator, port, 1, 0, &[]), "create");
    }
    let time = binds();
    for port in ports() {
        expect_ok(raw::delete(&administrator, port, 1, 0), "delete");
    }
    time
}

/// A socket in a network namespace of its own, which lives as long, with a reservation.
fn in_a_namespace() -> Socket {
    let make = || {
        unshare(CloneFlags::CLONE_NEWNET).expect("unshare");
        let socket = sock::tcp4();
        expect_ok(raw::acquire4(&socket, 1100, 1), "acquire");
        socket
    };
    thread::spawn(make).join().expect("join")
}

fn beside_namespaces(count: usize) -> Duration {
    let _own = expect_ok(raw::create(sock::tcp4(), 1100, 1, 0, &[]), "create");
    let others: Vec<Socket> = (1..count).map(|_| in_a_namespace()).collect();
    // The kernel goes on making and ending namespaces in the background.
    thread::sleep(Duration::from_secs(2));
    let time = binds();
    drop(others);
    expect_ok(raw::delete(sock::tcp4(), 1100, 1, 0), "delete");
    time
}

/// Each count in turn, several times, and the median of each.
fn in_turn(counts: [usize; 3], rounds: usize, work: impl Fn(usize) -> Duration) -> Vec<Point> {
    let mut times = [Vec::new(), Vec::new(), Vec::new()];
    for _ in 0..rounds {
        for (times, count) in times.iter_mut().zip(counts) {
            times.push(work(count));
        }
    }
    let medians = times.map(median);
    counts
        .map(|count| count as f64)
        .into_iter()
        .zip(medians)
        .collect()
}

/// How many there are, and the time.
type Point = (f64, Duration);

fn flat(what: &'static str, file: &'static str, points: Vec<Point>) {
    let first = points[0].1;
    for (count, time) in &points[1..] {
        report(
            &format!("TCP bind() beside one of {count} {what}, against beside the only one"),
            format!("{:.2}", ratio(*time, first)),
            "<= 1.10",
        );
    }
    let relative = |(count, time): (f64, Duration)| (count, ratio(time, first));
    plot(Plot {
        file,
        title: "Cost of a bind() beside a reserved port",
        x: what,
        y: "relative",
        curves: vec![("TCP bind()", points.into_iter().map(relative).collect())],
    });
}

/// Acquires and releases a second of so many processes at once.
fn acquired_by(processes: usize) -> f64 {
    const EACH: u64 = 4000;
    let children: Vec<_> = (0..processes)
        .map(|_| {
            let (own, others) = portkeep_tests::Channel::pair();
            let child = proc::fork_child(|| {
                assert_eq!(others.recv(), 0);
                for _ in 0..EACH {
                    let socket = sock::tcp4();
                    expect_ok(raw::acquire4(&socket, 0, 4), "acquire");
                }
                0
            });
            (child, own)
        })
        .collect();
    let taken = time(|| {
        children.iter().for_each(|(_, channel)| channel.send(0));
        for (child, _) in children {
            assert_eq!(child.code(), 0);
        }
    });
    (EACH * processes as u64) as f64 / taken.as_secs_f64()
}

pub fn measure(sandbox: &Sandbox) {
    enable::enable(sandbox);
    section("Many reservations");
    let points = in_turn([1, 100, 10_000], 7, beside_reservations);
    flat("reservations", "reservations", points);

    section("Many network namespaces");
    let points = [1, 100, 1000].map(|count| (count as f64, beside_namespaces(count)));
    flat(
        "network namespaces that reserve",
        "namespaces",
        points.into(),
    );

    section("Many processes that acquire");
    let mut points = Vec::new();
    for processes in [1, 2, 4, 8, 16, 32, 64] {
        points.push((processes as f64, acquired_by(processes)));
    }
    let alone = points[0].1;
    for (processes, rate) in &points[1..] {
        report(
            &format!("blocks of 4 acquired and released by {processes} processes, against one"),
            format!("{:.2}", rate / alone),
            "",
        );
    }
    let relative = points.into_iter().map(|(x, rate)| (x, rate / alone));
    plot(Plot {
        file: "processes",
        title: "Acquires a second, of all processes together",
        x: "processes",
        y: "relative",
        curves: vec![("acquire 4 ports, release", relative.collect())],
    });
}
