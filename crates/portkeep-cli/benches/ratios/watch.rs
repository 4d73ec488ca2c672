//! What calls cost while somebody watches, and without: in processor time of the process that calls, as
//! watchers that read are beside it and not in its way.

use std::net::Ipv4Addr;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use portkeep_admin::{Installation, inspect};
use portkeep_tests::{Sandbox, assert_ok, enable, raw, sock};

use crate::page::{report, section};
use crate::paired::Times;
use crate::stopwatch::processor_time;

const CALLS: usize = 200;
const ROUNDS: usize = 120;

/// Who watches meanwhile.
const LANES: [&str; 4] = ["nobody", "one watcher", "8 watchers", "one that is stopped"];

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

    fn stop(&self) {
        let pid = Pid::from_raw(self.0.id() as i32);
        kill(pid, Signal::SIGSTOP).expect("stop the command");
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn wait_for_watchers(installation: &Installation, count: u32) {
    let watchers = || {
        let status = inspect(installation).expect("inspect");
        status.expect("enabled").watchers
    };
    while watchers() != count {
        thread::sleep(Duration::from_millis(1));
    }
}

/// The watchers of a lane, all of which watch.
fn watchers(installation: &Installation, lane: usize) -> Vec<Watcher> {
    let count = [0, 1, 8, 1][lane];
    let watchers: Vec<_> = (0..count).map(|_| Watcher::start()).collect();
    wait_for_watchers(installation, count);
    if lane == 3 {
        watchers.iter().for_each(Watcher::stop);
    }
    watchers
}

fn refused() -> Duration {
    let socket = sock::udp4();
    processor_time(|| {
        for _ in 0..CALLS {
            sock::bind_any(&socket, 20000).expect_err("refused");
        }
    })
}

fn granted() -> Duration {
    let sockets: Vec<_> = (0..CALLS).map(|_| sock::udp4()).collect();
    processor_time(|| {
        for (port, socket) in (21000..).zip(&sockets) {
            assert_ok!(sock::bind_any(socket, port));
        }
    })
}

fn connected() -> Duration {
    let sockets: Vec<_> = (0..CALLS).map(|_| sock::udp4()).collect();
    processor_time(|| {
        for socket in &sockets {
            assert_ok!(sock::connect(socket, Ipv4Addr::LOCALHOST, 9));
        }
    })
}

fn acquired() -> Duration {
    processor_time(|| {
        for _ in 0..CALLS {
            assert_ok!(raw::acquire4(sock::udp4(), 20010, 1));
        }
    })
}

type Work = (&'static str, fn() -> Duration);

const WORKS: [Work; 4] = [
    ("a refused UDP bind()", refused),
    ("a granted UDP bind()", granted),
    ("a UDP connect()", connected),
    ("socket(), acquire and close()", acquired),
];

pub fn measure(sandbox: &Sandbox) {
    section("While somebody watches: processor time of the caller");
    enable::enable(sandbox);
    let installation = enable::installation(sandbox);
    let held = sock::udp4();
    assert_ok!(raw::acquire4(&held, 20000, 1));
    let mut times = WORKS.map(|_| [const { Vec::new() }; LANES.len()]);
    for round in 0..ROUNDS {
        for turn in 0..LANES.len() {
            let lane = (turn + round) % LANES.len();
            let _watching = watchers(&installation, lane);
            for ((_, work), times) in WORKS.iter().zip(&mut times) {
                work();
                times[lane].push(work());
            }
        }
        wait_for_watchers(&installation, 0);
    }
    for ((name, _), times) in WORKS.iter().zip(times) {
        let times = Times::of(times);
        let alone = times.median(0) / CALLS as u32;
        for (lane, who) in LANES.iter().enumerate().skip(1) {
            let what = match lane {
                1 => format!("{name} ({alone:.0?}), {who} / {}", LANES[0]),
                _ => format!("… {who} / {}", LANES[0]),
            };
            report(&what, times.ratio(lane, 0).to_string(), "");
        }
    }
}
