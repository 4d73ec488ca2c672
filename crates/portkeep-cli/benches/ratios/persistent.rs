//! Ten thousand persistent reservations.

use std::fs;
use std::net::Ipv4Addr;
use std::process::Command;
use std::time::Duration;

use portkeep_tests::socket2::Socket;
use portkeep_tests::{Sandbox, enable, expect_ok, sock};

use crate::page::{report, section};
use crate::stopwatch::{in_turn, ratio, time};

const MANY: u16 = 10_000;

/// The reserved ports, with two free ones behind each.
fn ports() -> impl Iterator<Item = u16> {
    (0..MANY).map(|index| 1100 + 3 * index)
}

fn portkeep(words: &[&str]) -> Duration {
    let mut command = Command::new(env!("CARGO_BIN_EXE_portkeep"));
    time(|| {
        let output = command.args(words).output().expect("start the command");
        assert!(output.status.success(), "{words:?}: {output:?}");
    })
}

/// Binds to a free port beside the first reserved one, so near that no short cut spares the look-up.
fn binds() -> Duration {
    const TIMES: usize = 200;
    let sockets: Vec<Socket> = (0..TIMES).map(|_| sock::tcp4()).collect();
    let bind = |socket: Socket| {
        time(|| expect_ok(sock::bind(&socket, Ipv4Addr::UNSPECIFIED, 1101), "bind"))
    };
    sockets.into_iter().map(bind).sum()
}

fn store(sandbox: &Sandbox, ports: impl Iterator<Item = u16>) {
    let records: String = ports
        .map(|port| format!("\n[[reservation]]\nports = \"{port}/tcp\"\nusers = [\"root\"]\n"))
        .collect();
    let file = sandbox.state_dir().join("reservations.toml");
    fs::write(file, format!("version = 1\n{records}")).expect("write the store");
}

/// The shortest of a few: the rest of the time was somebody else's.
fn shortest(work: impl Fn() -> Duration) -> Duration {
    (0..5).map(|_| work()).min().unwrap_or_default()
}

/// Leaves Portkeep removed.
pub fn measure(sandbox: &Sandbox) {
    section("10000 persistent reservations");
    store(sandbox, ports());
    let keeper = enable::installation(sandbox).keeper();
    let restore = shortest(|| {
        portkeep(&["disable"]);
        enable::enable(sandbox);
        time(|| {
            let report = keeper.restore(None).expect("restore");
            assert_eq!(report.reservations, usize::from(MANY));
        })
    });
    report(
        "enable: restoring 10000 persistent reservations",
        format!("{restore:.0?}"),
        "<= 1 s",
    );
    let list = shortest(|| portkeep(&["ls"]));
    report("portkeep ls", format!("{list:.0?}"), "<= 100 ms");
    let list = shortest(|| portkeep(&["ls", "--json"]));
    report("portkeep ls --json", format!("{list:.0?}"), "<= 100 ms");

    let one_at_a_time = |many: bool| {
        store(
            sandbox,
            ports().take(if many { usize::from(MANY) } else { 1 }),
        );
        portkeep(&["disable"]);
        portkeep(&["enable"]);
    };
    let (mut with_many, mut with_one) = (Vec::new(), Vec::new());
    for _ in 0..5 {
        one_at_a_time(true);
        with_many.push(in_turn(20, binds, Duration::default).0);
        one_at_a_time(false);
        with_one.push(in_turn(20, binds, Duration::default).0);
    }
    let median = crate::stopwatch::median;
    report(
        "TCP bind() beside one of 10000 reservations / beside one",
        format!("{:.2}", ratio(median(with_many), median(with_one))),
        "<= 1.10",
    );
    let _ = fs::remove_file(sandbox.state_dir().join("reservations.toml"));
    portkeep(&["disable"]);
}
