//! Who may bind where, and which ports the kernel chooses.

mod associated;
mod automatic;
mod automatic_range;
mod choice;
mod consumers;
mod families;
mod kinds;
mod mptcp;
mod nested;
mod process_tree;
mod race;
mod reach;
mod scene;
mod strangers;
mod tunnel;
mod uring;

use std::env;
use std::process::ExitCode;
use std::time::Duration;

use portkeep_tests::tests;

fn main() -> ExitCode {
    if let Some(port) = env::var_os(process_tree::BIND) {
        return process_tree::bind_and_exit(&port);
    }
    portkeep_tests::main(&tests! {
        root:
            strangers::another_user,
            strangers::root_in_another_process,
            strangers::a_thread_of_another_process,
            strangers::another_process_of_the_same_user,
            strangers::the_owner_itself,
            strangers::are_told_who_is_in_the_way,
            strangers::may_go_elsewhere_with_the_same_socket,
            mptcp::listeners_are_refused,
            tunnel::the_kernels_own_socket_is_refused,
            uring::binds_are_refused,
            reach::sockets_made_before_the_kernel_part_are_refused,
            reach::a_socket_keeps_the_cgroup_it_was_made_in,
            reach::cgroups_made_later_are_in_it,
            reach::other_cgroups_are_not,
            reach::other_namespaces_are_not,
            reach::the_other_protocol_and_the_neighbours_are_not,
            automatic::bind_avoids_kept_ports,
            automatic::connect_avoids_kept_ports,
            automatic::listen_avoids_kept_ports,
            automatic::sendto_avoids_kept_ports,
            automatic::late_binding_avoids_kept_ports,
            automatic_range::unprotected_ports_cannot_be_reserved,
            automatic_range::wildcards_avoid_unprotected_ports,
            automatic_range::a_socket_cannot_narrow_it_to_kept_ports,
            consumers::process_lets_every_thread_of_the_owner_bind,
            consumers::process_lets_no_child_bind,
            consumers::nobody_else_gains_by_a_flag,
            consumers::both_flags_are_the_wider_one,
            process_tree::descendants_may_bind,
            process_tree::a_program_that_is_executed_may_bind,
            process_tree::parents_and_siblings_may_not,
            process_tree::a_daemon_is_no_descendant,
            process_tree::a_daemon_stays_one_under_a_subreaper,
            associated::explicit_ports_of_the_block,
            associated::ports_outside_are_not_available,
            associated::several_sockets_share_a_port,
            associated::a_bind_that_fails_leaves_the_block_whole,
            associated::associating_again_replaces,
            associated::a_stranger_with_an_associated_socket_may_bind,
            choice::gives_every_port_once,
            choice::fills_the_block_from_many_threads,
            choice::fills_the_block_from_many_threads_around_ports_in_use,
            choice::skips_ports_in_use,
            choice::skips_time_wait_unless_the_socket_reuses,
            choice::of_a_late_binding_socket,
            choice::at_the_end_of_the_port_space,
            race::a_port_is_never_both_bound_and_reserved => Duration::from_secs(300),
            families::one_reservation_serves_both,
            nested::the_inner_one_answers,
            nested::both_enforce;
    })
}
