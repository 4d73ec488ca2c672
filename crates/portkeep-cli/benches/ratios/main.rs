//! What Portkeep costs, as ratios taken in one run: `cargo bench` (needs root).
//!
//! Both sides of a ratio are measured in turn, round by round, and the medians are compared, so
//! that a machine that is busy in between slows both. Nothing is asserted: the wanted figure stands
//! beside the measured one. `cargo xtask benchmarks` also writes them to `docs/benchmarks.md`.

mod allocators;
mod bind;
mod control;
mod filter;
mod held;
mod hooks;
mod memory;
mod page;
mod persistent;
mod run;
mod scale;
mod stopwatch;
mod web;

use std::process::ExitCode;
use std::time::Duration;

use portkeep_kernel::remove;
use portkeep_tests::{Sandbox, benchmark, enable};

use page::{report, section};

/// Set where the page is to be written.
const WRITE: &str = "PORTKEEP_WRITE_BENCHMARKS";

fn main() -> ExitCode {
    allocators::prepare();
    benchmark(measure, Duration::from_secs(1800))
}

fn measure(sandbox: &Sandbox) {
    section("Kernel memory");
    memory::measure(sandbox);
    section("Acquiring");
    control::measure(sandbox);
    allocators::measure(sandbox);
    section("What others pay");
    bind::measure(sandbox);
    filter::measure(sandbox);
    web::measure(sandbox);
    scale::measure(sandbox);
    section("The command line");
    run::measure();
    section("10000 persistent reservations");
    persistent::measure(sandbox);
    section("Held sockets");
    enable::enable(sandbox);
    held::measure_beside_kernel();
    remove(&enable::location(sandbox)).expect("remove");
    held::measure_run();
    if std::env::var_os(WRITE).is_some() {
        page::write();
    }
}
