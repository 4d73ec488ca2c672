//! `portkeep serve` and `portkeep run --serve`: a port server with the protocol of portserver.

#[path = "../common/mod.rs"]
mod common;

mod actor;
mod client;
mod held;
mod hostile;
mod kept;
mod namespaces;
mod portpicker;
mod protocol;

use portkeep_tests::trials;

trials! {
    root:
        protocol::a_number_is_answered_with_a_port,
        protocol::an_end_or_a_silence_is_as_good_as_a_newline,
        protocol::a_connection_without_a_byte_is_no_request,
        protocol::nobody_gets_a_port_for_a_process_that_does_not_live,
        protocol::statistics_have_the_names_of_portserver,
        protocol::portservers_own_options_are_understood,
        protocol::signals_end_it_and_nothing_stays,
        protocol::an_ignored_interrupt_stays_ignored,
        protocol::a_file_that_a_killed_server_left_is_replaced,
        protocol::an_address_in_use_is_refused,
        protocol::a_pool_without_ports_is_refused,
        protocol::without_the_kernel_part_it_says_that_it_keeps_books,
        protocol::books_leave_out_ports_in_use,
        kept::only_the_process_and_its_descendants_bind,
        kept::the_list_and_refusals_name_the_process,
        kept::ports_come_back_and_go_out_last,
        kept::a_pool_is_used_up_and_used_again,
        kept::the_end_of_the_server_frees_the_ports,
        kept::a_port_for_another_process_is_that_ones,
        kept::a_user_shares_where_asked,
        kept::an_ordinary_users_server,
        kept::the_server_of_a_command,
        kept::many_processes_of_a_command,
        kept::an_orphan_is_let_in_where_the_tree_shares,
        hostile::silent_clients_hold_nobody_up,
        hostile::more_connections_than_there_can_be,
        hostile::a_flood_is_cut_off,
        hostile::garbage_gets_nothing,
        hostile::clients_that_do_not_read_hold_nobody_up,
        hostile::another_users_process_is_not_theirs_to_ask_for,
        hostile::another_user_is_not_served_by_an_ordinary_users_server,
        hostile::each_user_has_a_limit,
        hostile::many_processes_at_once_get_ports_of_their_own,
        namespaces::a_number_is_of_the_clients_namespace,
        namespaces::a_process_of_another_network_namespace_gets_nothing,
        held::only_the_process_and_its_descendants_bind,
        held::an_ordinary_user_needs_no_kernel_part,
        held::the_tree_shares_where_asked,
        held::ports_come_back_unless_they_are_in_use,
        held::another_number_of_ports,
        held::beside_ports_of_its_own,
        held::where_the_whole_pool_is_automatic,
        held::within_another_run,
        held::it_lives_as_long_as_a_descendant,
        held::strangers_are_not_let_in,
        portpicker::its_own_tests_pass_with_the_kernel_part,
        portpicker::its_own_tests_pass_for_an_ordinary_user,
        portpicker::its_own_tests_pass_inside_a_held_run;
}
