//! `portkeep run` where containers run: under filters that answer as the default profiles of Docker,
//! containerd and Podman do in all calls that matter here, by an ordinary user and by root with Docker's
//! capabilities.

#[path = "../common/mod.rs"]
mod common;
#[path = "../unprivileged/scene.rs"]
#[allow(dead_code, reason = "of the scene the strangers are used")]
mod scene;

mod cage;
mod matrix;
mod nested;
mod odd;
mod preloaded;
mod profile;
mod stops;
mod strangers;
mod unreachable;
mod ways;

use portkeep_tests::trials;

trials! {
    root:
        matrix::no_profile,
        matrix::docker,
        matrix::containerd,
        matrix::containerd_before_1_7,
        matrix::podman,
        matrix::static_go,
        ways::each_profile_has_its_way,
        ways::doctor_names_the_way,
        ways::what_has_none_is_refused,
        ways::or_runs_unprotected,
        ways::a_program_with_its_own_filter_is_not_traced,
        ways::a_program_under_a_debugger_is_not_traced,
        strangers::beside_a_traced_owner,
        strangers::beside_a_replaced_owner,
        stops::stops_are_not_lost,
        stops::signals_are_not_lost,
        stops::nobody_hangs_without_the_supervisor,
        odd::under_no_profile,
        odd::under_docker,
        odd::under_containerd_before_1_7,
        odd::sockets_that_are_bound_and_connected,
        unreachable::options_are_kept,
        preloaded::under_every_profile,
        preloaded::a_program_that_is_undumpable,
        preloaded::a_static_program_is_refused,
        preloaded::runs_within_it,
        preloaded::rubbish_and_silence,
        nested::three_deep,
        nested::hold_within_run,
        nested::named_ports_of_the_outer_run_are_refused,
        nested::a_sibling_is_refused_and_an_orphan_is_not,
        nested::nothing_is_left_when_the_outer_command_ends_first,
        nested::nothing_is_left_when_the_inner_holder_is_killed,
        nested::with_the_kernel_part_inside;
}
