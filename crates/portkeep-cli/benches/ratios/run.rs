//! The command line: `portkeep run -- true` against `true`.

use std::process::Command;
use std::time::Duration;

use portkeep_tests::Sandbox;

use crate::page::{report, section};
use crate::stopwatch::{in_turn, time};

fn run(command: &mut Command) -> Duration {
    time(|| {
        let status = command.status().expect("start a command");
        assert!(status.success(), "{command:?}: {status}");
    })
}

pub fn measure(_: &Sandbox) {
    section("The command line");
    more_than_true(&["--tcp", "3"], "");
}

/// How much longer `true` takes under `run`.
pub fn more_than_true(ports: &[&str], note: &str) {
    let portkeep = env!("CARGO_BIN_EXE_portkeep");
    let (wrapped, alone) = in_turn(
        200,
        || {
            run(Command::new(portkeep)
                .arg("run")
                .args(ports)
                .args(["--", "true"]))
        },
        || run(&mut Command::new("true")),
    );
    report(
        &format!(
            "portkeep run {} -- true{note}, more than true alone",
            ports.join(" ")
        ),
        format!("{:.2?}", wrapped.saturating_sub(alone)),
        "<= 3 ms",
    );
}
