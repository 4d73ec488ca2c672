//! Rebuilds what is generated and committed: `cargo xtask bpf`, and `cargo xtask check`, which
//! fails when the committed files differ from a fresh build.

mod bpf;

use std::process::ExitCode;

const USAGE: &str = "usage: cargo xtask bpf | check";

fn main() -> ExitCode {
    let command = std::env::args().nth(1);
    let result = match command.as_deref() {
        Some("bpf") => bpf::rebuild(),
        Some("check") => bpf::check(),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
