//! What a refusal costs while somebody watches, and without.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use portkeep_tests::{Sandbox, assert_ok, raw, sock};

use crate::page::{report, section};
use crate::stopwatch::{median, ratio, time};

const CALLS: usize = 200;
const ROUNDS: usize = 200;

/// Ended by a signal.
struct Watcher(Child);

impl Watcher {
    fn start() -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_portkeep"));
        command
            .arg("watch")
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        Self(command.spawn().expect("start the command"))
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn refusals() -> Duration {
    let socket = sock::udp4();
    time(|| {
        for _ in 0..CALLS {
            sock::bind_any(&socket, 20000).expect_err("refused");
        }
    })
}

fn grants() -> Duration {
    let sockets: Vec<_> = (0..CALLS).map(|_| sock::udp4()).collect();
    time(|| {
        for (port, socket) in (21000..).zip(&sockets) {
            assert_ok!(sock::bind_any(socket, port));
        }
    })
}

fn acquires() -> Duration {
    time(|| {
        for _ in 0..CALLS {
            assert_ok!(raw::acquire4(sock::udp4(), 20010, 1));
        }
    })
}

pub fn measure(_: &Sandbox) {
    section("While somebody watches");
    let held = sock::udp4();
    assert_ok!(raw::acquire4(&held, 20000, 1));
    for (name, work) in [
        ("a refused UDP bind()", refusals as fn() -> Duration),
        ("a granted UDP bind()", grants),
        ("acquire and close()", acquires),
    ] {
        let (mut alone, mut watched) = (Vec::new(), Vec::new());
        for _ in 0..10 {
            alone.extend((0..ROUNDS / 10).map(|_| work()));
            let watcher = Watcher::start();
            watched.extend((0..ROUNDS / 10).map(|_| work()));
            drop(watcher);
        }
        let (alone, watched) = (median(alone) / CALLS as u32, median(watched) / CALLS as u32);
        report(
            &format!("{name} ({alone:.0?}), watched / not watched"),
            format!("{:.2}", ratio(watched, alone)),
            "",
        );
    }
}
