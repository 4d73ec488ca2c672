//! What Portkeep costs, as ratios taken in one run: `cargo bench` (needs root).
//!
//! Both sides of a ratio are measured in turn, round by round, and the medians are compared, so
//! that a machine that is busy in between slows both. Nothing is asserted: the wanted figure stands
//! beside the measured one. `cargo xtask benchmarks` also writes them to `docs/benchmarks.md`, and
//! can compare with another revision.

mod allocators;
mod apply;
mod bind;
mod binder;
mod calls;
mod collisions;
mod control;
mod filter;
mod held;
mod hooks;
mod lanes;
mod memory;
mod page;
mod paired;
mod persistent;
mod run;
mod scale;
mod serve;
mod stopwatch;
mod supervised;
mod watch;
mod web;

use std::process::ExitCode;
use std::time::Duration;

use portkeep_tests::{Sandbox, benchmark, enable};

/// Set where the page is to be written.
const WRITE: &str = "PORTKEEP_WRITE_BENCHMARKS";

fn main() -> ExitCode {
    if let Some(code) = binder::is_told() {
        return code;
    }
    allocators::prepare();
    benchmark(measure, Duration::from_secs(1800))
}

/// Names the parts to be measured, with commas between; all if it is not set.
const PARTS: &str = "PORTKEEP_BENCHMARKS";

type Part = (&'static str, fn(&Sandbox));

const ALL: [Part; 16] = [
    ("memory", memory::measure),
    ("control", control::measure),
    ("allocators", allocators::measure),
    ("serve", serve::measure),
    ("collisions", collisions::measure),
    ("calls", calls::measure),
    ("bind", bind::measure),
    ("filter", filter::measure),
    ("web", web::measure),
    ("scale", scale::measure),
    ("run", run::measure),
    ("persistent", persistent::measure),
    ("apply", apply::measure),
    ("held", held::measure),
    ("supervised", supervised::measure),
    ("watch", watch::measure),
];

fn measure(sandbox: &Sandbox) {
    let parts = std::env::var(PARTS).ok();
    let is_wanted = |name: &str| match &parts {
        Some(parts) => parts.split(',').any(|part| part == name),
        None => true,
    };
    enable::enable(sandbox);
    for (name, measure) in ALL {
        if is_wanted(name) {
            measure(sandbox);
        }
    }
    if std::env::var_os(WRITE).is_some() {
        page::write();
    }
}
