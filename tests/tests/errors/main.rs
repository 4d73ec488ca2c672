//! The refusals of runtime reservations, each from the bare ABI and from the library, with what
//! they leave: every reservation as it was, nothing charged, and a record of who was in the way.

#[path = "../common/capabilities.rs"]
mod capabilities;
#[path = "../common/holder.rs"]
mod holder;
#[path = "../common/ledger.rs"]
mod ledger;

mod absent;
mod acquire;
mod arguments;
mod associate;
mod automatic;
mod bind;
mod bind_associated;
mod in_use;
mod in_use_tcp;
mod io_error;
mod list;
mod overlap;
mod privileged;
mod quota;
mod refusal;
mod sockets;
mod sysctl;
mod tables;
mod threads;
mod tokens;
mod wildcard;

use portkeep_tests::trials;

trials! {
    root:
        absent::nothing_answers_before_enable,
        absent::nothing_answers_after_remove,
        absent::nothing_answers_outside_the_cgroup,
        acquire::one_socket_holds_several,
        acquire::a_start_is_aligned,
        acquire::neighbours_and_others_port_spaces_are_free,
        acquire::a_wildcard_comes_from_the_pool,
        arguments::the_range_must_be_possible,
        arguments::the_alignment_must_be_a_power_of_two,
        arguments::flags_must_be_known,
        arguments::values_must_be_long_enough,
        arguments::addresses_must_be_readable,
        automatic::an_unprotected_port_is_refused,
        automatic::a_protected_port_is_not,
        automatic::a_wildcard_leaves_unprotected_ports_out,
        bind::a_stranger_is_refused,
        bind::the_owner_is_refused_unassociated,
        bind_associated::a_full_block_has_no_port,
        bind_associated::an_associated_socket_stays_inside,
        bind_associated::an_associated_socket_outlives_the_block,
        bind::a_record_is_about_the_last_refusal,
        in_use::a_bound_socket_is_in_the_way,
        in_use::the_first_port_in_use_is_named,
        in_use::a_connected_udp_socket_is_in_the_way,
        in_use::another_users_socket_is_named,
        in_use::a_wildcard_goes_around,
        in_use_tcp::every_state_of_a_listener_is_in_the_way,
        in_use_tcp::a_listeners_child_is_in_the_way,
        in_use_tcp::a_connected_client_is_in_the_way,
        in_use_tcp::a_multipath_socket_is_in_the_way,
        in_use_tcp::time_wait_alone_is_not,
        in_use_tcp::time_wait_beside_a_socket_is,
        io_error::keeps_who_is_in_the_way,
        io_error::keeps_the_error_of_the_call,
        list::of_a_given_file_system,
        list::of_what_is_not_a_bpf_file_system,
        list::of_what_another_user_has_made,
        overlap::own_reservations_are_in_the_way,
        overlap::another_processs_reservations_are,
        overlap::the_lowest_of_several_is_named,
        privileged::a_user_is_refused,
        privileged::a_capability_allows,
        privileged::the_sysctl_allows,
        privileged::a_users_wildcard_starts_above,
        quota::more_than_is_left_is_refused,
        quota::a_refused_acquire_is_not_charged,
        sockets::other_protocols_are_refused,
        sockets::what_is_no_socket_is_refused,
        tables::a_full_table_is_refused,
        tables::the_last_user_is_refused,
        threads::each_reads_its_own,
        threads::a_child_reads_none,
        tokens::unknown_ones_are_refused,
        tokens::a_released_one_is_unknown,
        tokens::the_other_protocols_is_unknown,
        tokens::another_namespaces_is_unknown,
        tokens::another_processs_is_refused,
        associate::a_bound_socket_is_not_associated,
        tokens::any_socket_releases,
        associate::associating_again_replaces,
        wildcard::a_full_pool_is_refused,
        wildcard::no_run_is_long_enough,
        wildcard::no_run_is_aligned;
}
