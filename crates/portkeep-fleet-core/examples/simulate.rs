//! Plays the protocol from seeds: `simulate FIRST-SEED SEEDS [NODES [REQUESTS [MEMBERS]]]`.
//!
//! It ends with status 1 at the first seed that shows a violation, and prints it.

use std::process::ExitCode;

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
            one_fault_in: 12 + size(5, 4),
            wipe: seed % 5 == 4,
            ..Settings::small(seed)
        });
        operations += played.operations;
        committed += played.committed;
        refused += played.refused;
        faults += played.faults;
        if !played.is_right() {
            let (wrong, left, seen) = (&played.violations, &played.left, &played.seen);
            println!("seed {seed}: {wrong:?} {left:?} {seen:?}");
            return ExitCode::FAILURE;
        }
    }
    println!(
        "{operations} operations, {committed} committed, {refused} refused, {faults} faults, no violation"
    );
    ExitCode::SUCCESS
}
