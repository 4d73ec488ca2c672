//! Every refusal of persistent reservations, with its errno and what is there afterwards: of the
//! socket options as the library has them, and of the keeper.

mod fleet;
mod keeper;
mod library;

use portkeep_tests::trials;

trials! {
    root:
        library::overlapping,
        library::in_use,
        library::adopting,
        library::automatic_ports,
        library::invalid_requests,
        library::without_the_privilege,
        library::no_such_reservation,
        library::parts,
        library::consumers_of_the_next_one,
        library::every_namespace,
        library::other_sockets,
        library::in_a_user_namespace,
        library::not_enabled,
        keeper::overlapping,
        keeper::in_use,
        keeper::half_of_it,
        keeper::invalid_requests,
        keeper::without_the_privilege,
        keeper::nothing_to_remove,
        keeper::removing_ranges_that_overlap,
        keeper::stores_that_overlap_themselves,
        keeper::a_connection_that_slipped_in,
        keeper::a_connection_that_slipped_in_at_boot,
        keeper::unknown_names,
        keeper::stores_that_are_not_understood,
        keeper::another_installation_in_the_environment,
        keeper::not_enabled,
        fleet::a_policy_from_its_note_to_its_end,
        fleet::a_boot,
        fleet::a_grant_is_closed_until_a_cgroup_is_let_in,
        fleet::as_many_cgroups_as_there_is_room_for,
        fleet::what_is_in_the_way,
        fleet::local_changes;
}
