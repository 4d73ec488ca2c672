//! How long a reservation lives: until it is released or the last copy of its acquiring socket is
//! closed, in whatever way that comes about.

mod associated;
mod claim;
mod close;
mod elsewhere;
mod exec;
mod fork;
mod handover;
mod heir;
mod library;
mod older;
mod owner;
mod scene;

use portkeep_tests::trials;

trials! {
    root:
        close::ends_it,
        close::of_the_last_duplicate_ends_it,
        close::ends_all_that_one_socket_acquired,
        close::spares_what_other_sockets_acquired,
        close::of_a_socket_that_serves_itself_ends_it,
        close::after_a_release_changes_nothing,
        close::frees_every_port_of_the_largest_block,
        close::ends_it_after_the_cgroup_is_gone,
        fork::exit_ends_it,
        fork::exit_ends_it_before_the_process_is_reaped,
        fork::kill_ends_it,
        fork::a_child_keeps_it_when_the_parent_is_gone,
        fork::a_child_keeps_it_but_does_not_own_it,
        exec::closes_the_socket_and_ends_it,
        exec::keeps_an_inheritable_socket,
        exec::of_a_child_keeps_an_inheritable_socket,
        handover::a_passed_descriptor_keeps_it,
        handover::a_descriptor_in_flight_keeps_it,
        handover::a_lost_message_ends_it,
        handover::a_file_registered_with_io_uring_keeps_it,
        owner::a_thread_that_ended_leaves_it_to_the_process,
        owner::survives_the_end_of_the_main_thread,
        owner::is_not_the_next_process_with_its_id,
        claim::gives_every_right_to_the_claimer,
        claim::can_go_back,
        claim::outlives_the_former_owner,
        claim::moves_what_the_process_flag_allows,
        claim::leaves_associations_alone,
        claim::is_for_holders_of_the_acquiring_socket,
        claim::of_what_has_ended_is_refused,
        heir::becomes_the_owner,
        heir::is_the_one_who_binds_by_number,
        heir::of_the_process_flag_is_one_process,
        heir::of_the_user_flag_is_a_user,
        heir::that_ends_leaves_the_ports_to_the_acquirer,
        heir::gives_it_back_to_a_claim,
        heir::is_of_the_callers_user,
        heir::of_any_user_takes_an_administrator,
        heir::of_another_process_namespace,
        heir::of_another_user_namespace,
        heir::is_the_process_of_a_thread,
        heir::may_have_lost_its_first_thread,
        heir::has_not_ended,
        heir::is_named_by_a_pidfd,
        heir::of_the_acquiring_socket_only,
        heir::is_described_by_a_value_of_16_bytes,
        heir::is_a_process_that_the_descriptor_meant,
        associated::bound_sockets_outlive_the_close,
        associated::bound_sockets_outlive_the_release,
        associated::unbound_sockets_are_left_with_nothing,
        associated::an_old_token_is_never_valid_again,
        elsewhere::the_end_of_a_namespace_ends_it,
        elsewhere::a_socket_taken_to_another_namespace_keeps_it,
        library::drop_ends_it,
        library::release_ends_it_whoever_has_copies,
        library::into_sockets_keeps_it,
        library::claim_takes_it_over,
        library::a_refused_claim_gives_the_sockets_back,
        library::hand_over_makes_another_process_the_owner,
        library::hand_over_hands_all_or_nothing,
        library::held_ports_are_not_handed_over,
        older::kernel_part_says_that_it_cannot;
}
