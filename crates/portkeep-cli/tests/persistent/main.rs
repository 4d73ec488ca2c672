//! Persistent reservations and exclusions over reboots, kills and namespaces.

#[path = "../common/mod.rs"]
mod common;

mod automatic;
mod boot;
mod edited;
mod killed;
mod namespaces;

use std::time::Duration;

use portkeep_tests::trials;

trials! {
    root:
        boot::a_reboot_brings_everything_back,
        boot::an_upgrade_keeps_everything,
        boot::others_protect_ports_before_us_at_boot,
        boot::a_user_that_is_gone_keeps_the_block_closed,
        boot::a_stranger_that_was_there_first_is_told,
        boot::a_runtime_reservation_in_the_way_is_told,
        boot::what_differs_is_repaired_and_told,
        boot::what_only_the_kernel_part_has_is_stored,
        boot::a_store_that_was_edited_is_obeyed,
        edited::what_was_deleted_is_deleted,
        edited::what_another_program_made_is_told_from_it,
        edited::all_of_it_was_deleted,
        edited::deleted_while_disabled_or_before_a_boot,
        edited::a_tool_replaces_the_whole_file,
        edited::a_range_that_shrinks_is_free_at_no_instant,
        edited::ranges_grow_split_and_merge,
        edited::in_named_namespaces,
        edited::in_every_namespace,
        edited::a_store_of_an_earlier_version,
        edited::two_state_directories,
        edited::entries_that_overlap_are_refused,
        edited::comments_survive_every_command,
        boot::disable_takes_back_what_was_protected,
        boot::disable_beside_a_long_list,
        boot::nothing_is_stored_where_nothing_is_persistent,
        automatic::no_connection_starts_there => Duration::from_secs(300),
        automatic::no_bind_gets_there => Duration::from_secs(300),
        killed::at_random_moments => Duration::from_secs(300),
        killed::while_others_do_the_same => Duration::from_secs(300),
        namespaces::every_command_acts_where_it_is_told,
        namespaces::by_name_it_is_kept,
        namespaces::by_process_it_ends_with_the_namespace,
        namespaces::commands_run_in_a_named_namespace_mean_that,
        namespaces::every_namespace_has_it,
        namespaces::unknown_names_are_refused;
}
