//! The C library `portkeep-winsock`: C programs, compiled by gcc and clang against the installed
//! library, with the kernel part and without.

mod absent;
mod boot;
mod checked;
mod enabled;
mod examples;
mod installed;
mod layout;
mod linking;
mod netdown;
mod patterns;
mod program;
mod runs;
mod secure;
mod seed;
mod wide;
mod wine;
mod words;

#[allow(dead_code, reason = "of it only the commands are needed")]
#[path = "../examples/readme.rs"]
mod readme;

use std::env;
use std::process::ExitCode;
use std::time::Duration;

use portkeep_tests::tests;

/// For tools that make programs many times slower.
const LONG: Duration = Duration::from_secs(600);

/// Every trial compiles against one installation, which is made first.
fn main() -> ExitCode {
    if env::args().all(|argument| argument != "--list") {
        installed::make_once();
    }
    portkeep_tests::main(&tests! {
        root:
            seed::prints_what_it_prints_on_windows,
            seed::prints_the_same_without_the_kernel_part,
            seed::says_what_is_wrong,
            examples::life,
            examples::life_without_the_kernel_part,
            examples::event,
            examples::routine,
            examples::persistent,
            absent::the_kernel_part,
            absent::implicit_binds,
            absent::addresses_and_options,
            absent::forks,
            absent::a_crowded_pool,
            enabled::in_the_middle_of_a_programs_life,
            netdown::is_told,
            secure::the_callers_store_is_not_written,
            boot::reservations_come_back,
            runs::acquire,
            runs::token,
            runs::handles,
            runs::bind,
            runs::implicit,
            runs::addresses,
            runs::options,
            runs::select,
            runs::mechanics,
            runs::overlapped,
            runs::pending,
            runs::storm,
            runs::random,
            runs::transfer,
            runs::port,
            runs::transfer_storm,
            runs::closing,
            runs::persistent,
            patterns::quic,
            patterns::sampler,
            patterns::server,
            wine::the_same_mechanics => LONG,
            checked::by_thread_sanitizer => LONG,
            checked::by_helgrind => LONG,
            checked::by_memcheck => LONG;
        plain:
            installed::has_what_a_package_has,
            installed::exports_what_is_documented,
            seed::compiles_by_the_documented_line,
            seed::links_statically,
            layout::in_c,
            layout::in_cpp,
            words::in_c,
            words::in_cpp,
            words::what_is_refused,
            words::programs_of_every_kind,
            linking::by_the_names_on_windows,
            linking::by_cmake,
            wide::conversions_and_arguments,
            examples::compile_without_a_warning,
            absent::functions_outside_the_scope;
    })
}
