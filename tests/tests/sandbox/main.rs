//! The runner and the sandbox, tested on themselves: some trials run this binary again with trials
//! that fail, hang or die, and look at what it reports and leaves behind.

mod bodies;
mod helpers;
mod isolation;
mod runner;

use std::env;
use std::process::ExitCode;
use std::time::Duration;

use portkeep_tests::tests;

fn main() -> ExitCode {
    let bodies = tests! {
        root:
            bodies::passes,
            bodies::skips,
            bodies::panics,
            bodies::exits,
            bodies::crashes,
            bodies::hangs => Duration::from_secs(1),
            bodies::escapes_and_hangs => Duration::from_secs(1),
            bodies::leaves_a_process,
            bodies::waits_to_be_killed,
            bodies::meets_the_second,
            bodies::meets_the_first;
        plain:
            bodies::panics_plainly;
    };
    let tests = tests! {
        root:
            isolation::namespaces_are_its_own,
            isolation::the_bpffs_is_one,
            isolation::processes_are_in_the_leaf,
            isolation::the_outside_cgroup_is_beside,
            isolation::the_state_directory_is_empty,
            isolation::loopback_is_up,
            runner::a_passing_body_leaves_nothing,
            runner::a_skipped_body_is_ignored_with_its_reason,
            runner::a_panic_fails_and_shows_the_output,
            runner::a_plain_panic_fails,
            runner::an_early_exit_fails,
            runner::a_signal_fails,
            runner::a_hang_is_killed,
            runner::a_hang_in_another_cgroup_is_killed,
            runner::what_a_body_leaves_running_is_killed,
            runner::what_a_killed_runner_leaves_is_swept,
            runner::mounts_do_not_spread,
            runner::trials_run_side_by_side,
            runner::without_privilege_root_trials_are_ignored,
            helpers::a_child_reports_its_end,
            helpers::a_dropped_child_is_killed,
            helpers::a_user_has_no_privilege,
            helpers::a_child_has_another_network_namespace,
            helpers::a_child_has_another_cgroup,
            helpers::descriptors_and_numbers_pass,
            helpers::time_wait_is_on_the_wanted_side,
            helpers::probing_finds_what_is_bound,
            helpers::raw_options_reach_the_kernel,
            helpers::assertions_name_both_errnos;
        plain:
            helpers::errnos_have_names;
    };
    if env::var_os(runner::BODIES).is_some() {
        portkeep_tests::main(&bodies)
    } else {
        portkeep_tests::main(&tests)
    }
}
