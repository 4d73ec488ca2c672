//! Binds under a `run` whose ports are held by sockets, in units of a bare round trip: a call that a seccomp
//! filter tells another process of, which answers at once that it is to go on.

use std::process::Command;
use std::time::Duration;

use portkeep::Backend;
use portkeep_admin::remove;
use portkeep_tests::{Sandbox, enable};

use crate::binder::{measure as binds, without_copies};
use crate::held::acquire;
use crate::page::{report, section};
use crate::paired::rounds;
use crate::run::more_than_true;
use crate::stopwatch::median;

const OWN: u16 = 20000;

fn wrapper() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_portkeep"));
    let ports = format!("{OWN}-{OWN}");
    command.args(["run", "--both", &ports, "--"]);
    command
}

fn traced() -> Command {
    let mut command = wrapper();
    without_copies(&mut command);
    command
}

/// What is measured: the bare round trip, and then what is compared with it.
fn lane(lane: usize) -> Duration {
    match lane {
        0 => binds(None, "udp 20001 bare"),
        1 => binds(Some(wrapper()), "udp 20001"),
        2 => binds(Some(wrapper()), "udp 20000"),
        3 => binds(Some(wrapper()), "tcp 20000"),
        4 => binds(Some(traced()), "udp 20000"),
        5 => binds(None, "netlink 0"),
        6 => binds(None, "udp 20001 read"),
        _ => binds(Some(wrapper()), "netlink 0"),
    }
}

pub fn measure(sandbox: &Sandbox) {
    section("Binds under run without the kernel part");
    remove(&enable::installation(sandbox)).expect("remove");
    let times = rounds::<8>(15, lane);
    let bare = times.median(0);
    let read = times.median(6);
    report(
        &format!(
            "a round trip in which the address is read ({read:.1?}) / bare round trip ({bare:.1?})"
        ),
        times.ratio(6, 0).to_string(),
        "",
    );
    for (lane, what, aim) in [
        (1, "another port", "<= 1.1"),
        (2, "its own port, UDP", "<= 1.9"),
        (3, "its own port, TCP", ""),
        (4, "its own port, UDP, by ptrace", "<= 13"),
    ] {
        let time = times.median(lane);
        report(
            &format!("bind() of {what} ({time:.1?}) / bare round trip ({bare:.1?})"),
            times.ratio(lane, 0).to_string(),
            aim,
        );
    }
    report(
        &format!("bind() of netlink ({:.2?}) / plain", times.median(7)),
        times.ratio(7, 5).to_string(),
        "about 1",
    );
    more_than_true(&["--tcp", "3"], " without the kernel part");
    let thousand = median((0..40).map(|_| acquire(Backend::Held, 1000)).collect());
    report(
        "acquire and release 1000 held UDP ports",
        format!("{thousand:.2?}"),
        "<= 4 ms",
    );
    enable::enable(sandbox);
}
