//! `portkeep apply`: the machine has what files declare.

#[path = "../common/mod.rs"]
mod common;

mod beside;
mod boot;
mod changes;
mod files;
mod hostile;
mod property;
mod refused;
mod scene;
mod strangers;

use std::time::Duration;

use portkeep_tests::trials;

trials! {
    root:
        changes::add_change_and_remove,
        changes::the_same_again_changes_nothing,
        changes::check_and_dry_run_change_nothing,
        changes::blocks_grow_and_shrink_in_place,
        changes::a_growing_block_meets_sockets,
        changes::kinds_change_in_place,
        changes::automatic_ports_are_protected,
        changes::documents,
        changes::what_others_made_stays,
        changes::drift_is_repaired,
        changes::the_store_says_who_declared_it,
        changes::a_thousand_at_once,
        changes::namespaces,
        refused::overlaps_are_all_named,
        refused::sockets_are_all_named,
        refused::what_processes_acquired_is_named,
        refused::unknown_users,
        refused::without_the_kernel_part,
        refused::ordinary_users,
        files::that_are_not_trusted,
        files::that_cannot_be_understood,
        files::that_are_left_out,
        files::that_move,
        files::that_are_given_twice,
        boot::enable_applies_the_default_directory,
        boot::enable_restores_beside_a_broken_file,
        boot::users_may_come_later,
        boot::doctor_tells_what_is_not_applied,
        beside::several_at_once,
        beside::killed_at_random_moments => Duration::from_secs(300),
        hostile::a_full_disk => Duration::from_secs(300),
        hostile::a_directory_that_changes_meanwhile => Duration::from_secs(300),
        hostile::two_that_want_the_same,
        hostile::one_file_by_several_ways,
        hostile::what_cannot_be_looked_at_is_not_gone,
        hostile::a_directory_that_is_gone,
        hostile::files_that_cannot_be_read,
        hostile::readers_that_leave,
        property::any_sequence_of_files_ends_as_declared => Duration::from_secs(300),
        property::wrong_ways_to_apply_are_noticed => Duration::from_secs(300);
    plain:
        refused::wrong_usage;
}
