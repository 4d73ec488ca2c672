//! The C library `portkeep-winsock`: C programs, compiled by gcc and clang against the installed
//! library, with the kernel part and without.

mod installed;
mod layout;
mod program;
mod runs;
mod seed;

use std::env;
use std::process::ExitCode;

use portkeep_tests::tests;

/// Every trial compiles against one installation, which is made first.
fn main() -> ExitCode {
    if env::args().all(|argument| argument != "--list") {
        installed::make_once();
    }
    portkeep_tests::main(&tests! {
        root:
            seed::prints_what_it_prints_on_windows,
            seed::says_what_is_wrong,
            runs::acquire,
            runs::token,
            runs::bind,
            runs::mechanics,
            runs::overlapped,
            runs::pending;
        plain:
            installed::has_what_a_package_has,
            layout::in_c,
            layout::in_cpp;
    })
}
