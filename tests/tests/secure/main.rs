//! A program that runs with more rights than whoever started it, by the set-user-ID bit: it does not
//! heed the environment.

mod program;

use std::env;
use std::process::ExitCode;

use portkeep_tests::tests;

/// The runner is its own set-user-ID program.
fn main() -> ExitCode {
    if env::args().nth(1).as_deref() == Some(program::TELL) {
        return program::tell();
    }
    portkeep_tests::main(&tests! {
        root:
            program::with_more_rights,
            program::with_the_rights_of_the_caller;
    })
}
