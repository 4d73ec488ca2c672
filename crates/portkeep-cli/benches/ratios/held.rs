//! Held sockets: what holding costs beside the kernel part, and a bind under `run` beside a plain one.

use std::process::Command;
use std::time::Duration;

use portkeep::{Backend, Reservation};
use portkeep_admin::remove;
use portkeep_tests::{Sandbox, enable};

use crate::page::{report, section};
use crate::stopwatch::{in_turn, ratio, time};

pub fn acquire(backend: Backend, count: u16) -> Duration {
    time(|| {
        let request = Reservation::builder().udp().count(count).backend(backend);
        drop(request.acquire().expect("acquire"));
    })
}

/// Kernel memory in slabs, as the whole machine's; other processes blur it.
fn slab_kilobytes() -> i64 {
    let text = std::fs::read_to_string("/proc/meminfo").expect("read /proc/meminfo");
    let line = text.lines().find_map(|line| line.strip_prefix("Slab:"));
    let number = line.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
    number.expect("a line Slab")
}

/// Binds and closes a UDP socket many times in Python, and prints the nanoseconds a round takes.
const BINDS: &str = "
import socket, time
def round(port):
    opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    opened.bind(('127.0.0.1', port))
    opened.close()
start = time.perf_counter_ns()
for _ in range(2000):
    round(PORT)
print((time.perf_counter_ns() - start) // 2000)
";

fn bind(supervised: bool, port: u16) -> Duration {
    let program = BINDS.replace("PORT", &port.to_string());
    let portkeep = env!("CARGO_BIN_EXE_portkeep");
    let mut command = if supervised {
        let mut command = Command::new(portkeep);
        command.args(["run", "--udp", "20000-20000", "--", "python3"]);
        command
    } else {
        Command::new("python3")
    };
    let output = command
        .args(["-c", &program])
        .output()
        .expect("run python3");
    let text = String::from_utf8_lossy(&output.stdout);
    Duration::from_nanos(text.trim().parse().expect("nanoseconds"))
}

pub fn measure(sandbox: &Sandbox) {
    section("Held sockets");
    enable::enable(sandbox);
    measure_beside_kernel();
    remove(&enable::installation(sandbox)).expect("remove");
    measure_run();
    enable::enable(sandbox);
}

/// With the kernel part enabled.
fn measure_beside_kernel() {
    for count in [1, 100, 1000] {
        let (held, kernel) = in_turn(
            20,
            || acquire(Backend::Held, count),
            || acquire(Backend::Kernel, count),
        );
        report(
            &format!("acquire and release {count} UDP ports, held ({held:.0?}) / kernel"),
            format!("{:.0}", ratio(held, kernel)),
            "",
        );
    }
    let before = slab_kilobytes();
    let request = Reservation::builder()
        .udp()
        .count(4000)
        .backend(Backend::Held);
    let reservation = request.acquire().expect("acquire");
    let bytes = (slab_kilobytes() - before) * 1024 / 4000;
    drop(reservation);
    report("kernel memory of a held UDP port", format!("{bytes} B"), "");
}

/// Without it.
fn measure_run() {
    for (what, port) in [("its own port", 20000), ("another port", 20001)] {
        let (supervised, plain) = in_turn(5, || bind(true, port), || bind(false, port));
        report(
            &format!("socket, bind, close of {what} under run ({supervised:.1?}) / plain"),
            format!("{:.1}", ratio(supervised, plain)),
            "",
        );
    }
}
