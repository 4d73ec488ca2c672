//! What Portkeep costs, as ratios taken in one run: `cargo bench` (needs root).
//!
//! Both sides of a ratio are measured in turn, round by round, and the medians are compared, so
//! that a machine that is busy in between slows both. Nothing is asserted: the wanted figure stands
//! beside the measured one.

mod bind;
mod control;
mod held;
mod hooks;
mod memory;
mod persistent;
mod run;
mod stopwatch;

use std::process::ExitCode;
use std::time::Duration;

use portkeep_kernel::remove;
use portkeep_tests::{Sandbox, benchmark, enable};

fn main() -> ExitCode {
    benchmark(measure, Duration::from_secs(600))
}

fn measure(sandbox: &Sandbox) {
    println!("{:<58} {:>12} {:>14}", "what", "measured", "wanted");
    memory::measure(sandbox);
    control::measure(sandbox);
    bind::measure(sandbox);
    run::measure();
    persistent::measure(sandbox);
    held::measure_beside_kernel();
    remove(&enable::location(sandbox)).expect("remove");
    held::measure_run();
}

/// One line of the table.
fn report(what: &str, measured: String, wanted: &str) {
    println!("{what:<58} {measured:>12} {wanted:>14}");
}
