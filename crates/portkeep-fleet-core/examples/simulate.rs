//! Plays the protocol from seeds: `simulate FIRST-SEED SEEDS [NODES [REQUESTS [MEMBERS]]]`.
//!
//! It ends with status 1 at the first seed that shows a violation, and prints it.

use std::process::ExitCode;

use portkeep_fleet_core::checker::check;
use portkeep_fleet_core::simulation::{Settings, run};

fn main() -> ExitCode {
    let number = |at: usize, otherwise: u64| {
        let given = std::env::args().nth(at).and_then(|text| text.parse().ok());
        given.unwrap_or(otherwise)
    };
    let size = |at, otherwise| usize::try_from(number(at, otherwise)).unwrap_or(1);
    let first = number(1, 0);
    let (mut operations, mut committed, mut refused, mut faults) = (0, 0, 0, 0);
    for seed in first..first.saturating_add(number(2, 10_000)) {
        let played = run(Settings {
            nodes: size(3, 6).max(1),
            requests: size(4, 12),
            members: size(5, 4).max(1),
            wipe: seed % 5 == 4,
            ..Settings::small(seed)
        });
        operations += played.operations;
        committed += played.committed;
        refused += played.refused;
        faults += played.faults;
        let seen = check(&played.history);
        if !(played.violations.is_empty() && played.left.is_empty() && seen.is_empty()) {
            println!(
                "seed {seed}: {:?} {:?} {seen:?}",
                played.violations, played.left
            );
            return ExitCode::FAILURE;
        }
    }
    println!(
        "{operations} operations, {committed} committed, {refused} refused, {faults} faults, no violation"
    );
    ExitCode::SUCCESS
}
