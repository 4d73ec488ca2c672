//! What others pay, processes that do not use Portkeep, against a machine that has none.

use std::net::Ipv4Addr;
use std::time::Duration;

use portkeep_admin::{InstallOptions, remove};
use portkeep_tests::socket2::Socket;
use portkeep_tests::{Sandbox, enable, expect_ok, sock};

use crate::page::{report, section};
use crate::stopwatch::{median, ratio, time};

const CALLS: usize = 200;

/// How often Portkeep is switched on and off, and how often is measured in between.
const PHASES: usize = 20;
const ROUNDS: usize = 40;

/// A socket belongs to the cgroup that its process is in when it is made.
fn sockets(make: fn() -> Socket) -> Vec<Socket> {
    (0..CALLS).map(|_| make()).collect()
}

/// One bind() each of fresh sockets.
fn binds(make: fn() -> Socket) -> Duration {
    let sockets = sockets(make);
    time(|| {
        for (port, socket) in (20000..).zip(&sockets) {
            expect_ok(sock::bind(socket, Ipv4Addr::UNSPECIFIED, port), "bind");
        }
    })
}

/// The life of a socket that binds: socket(), bind(), close().
fn lives(make: fn() -> Socket) -> Duration {
    time(|| {
        for port in (20000..).take(CALLS) {
            let socket = make();
            expect_ok(sock::bind(&socket, Ipv4Addr::UNSPECIFIED, port), "bind");
        }
    })
}

fn options() -> Duration {
    let sockets = sockets(sock::tcp4);
    time(|| {
        for socket in &sockets {
            socket.set_reuse_address(true).expect("setsockopt");
            socket.reuse_address().expect("getsockopt");
        }
    })
}

/// The medians with Portkeep switched on and off, for the time of one call. While it is off nobody
/// uses the kernel's hooks, unless somebody else on the machine does.
fn with_portkeep(
    sandbox: &Sandbox,
    how: &InstallOptions,
    work: impl Fn() -> Duration,
) -> (Duration, Duration) {
    let installation = enable::installation(sandbox);
    let (mut on, mut off) = (Vec::new(), Vec::new());
    for _ in 0..PHASES {
        enable::enable_with(how);
        on.extend((0..ROUNDS).map(|_| work()));
        assert!(remove(&installation).expect("remove"));
        off.extend((0..ROUNDS).map(|_| work()));
    }
    (median(on) / CALLS as u32, median(off) / CALLS as u32)
}

pub fn measure(sandbox: &Sandbox) {
    section("What others pay");
    let everywhere = enable::options(sandbox);
    remove(&everywhere.installation).expect("remove");
    for (name, make) in [("TCP", sock::tcp4 as fn() -> Socket), ("UDP", sock::udp4)] {
        let (enabled, disabled) = with_portkeep(sandbox, &everywhere, || binds(make));
        report(
            &format!("{name} bind() alone ({disabled:.0?}), enabled / disabled"),
            format!("{:.2}", ratio(enabled, disabled)),
            "",
        );
        let (enabled, disabled) = with_portkeep(sandbox, &everywhere, || lives(make));
        report(
            "… socket(), bind() and close(), enabled / disabled",
            format!("{:.2}", ratio(enabled, disabled)),
            "",
        );
    }

    // Enforced on, but not a control cgroup.
    let control = sandbox.cgroup().join("control");
    std::fs::create_dir_all(&control).expect("make a cgroup");
    let elsewhere = InstallOptions {
        control: vec![control],
        ..everywhere
    };
    let (enabled, disabled) = with_portkeep(sandbox, &elsewhere, options);
    report(
        "get- and setsockopt() outside a control cgroup / disabled",
        format!("{:.3}", ratio(enabled, disabled)),
        "1.00",
    );
    enable::enable(sandbox);
}
