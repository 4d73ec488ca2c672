//! What a reservation of the library promises, whatever keeps it: every test here runs with the
//! kernel part and with held sockets, for root and for an ordinary user. `docs/backends.md` lists
//! where the two differ; `differences` asserts each line of it.

mod acquiring;
mod backends;
#[path = "../common/capabilities.rs"]
mod capabilities;
mod conflicts;
mod differences;
mod ending;
mod intruders;
mod owners;
mod rotation;
mod strangers;

use portkeep_tests::trials;

trials! {
    root:
        acquiring::exact_ports_are_had,
        acquiring::any_ports_are_a_block_of_the_pool,
        acquiring::an_alignment_is_kept,
        acquiring::several_protocols_have_the_same_numbers,
        acquiring::requests_that_make_no_sense,
        acquiring::privileged_ports_take_a_privilege,
        conflicts::a_bound_port_is_named,
        conflicts::a_reserved_port_is_named_with_its_owner,
        conflicts::all_or_nothing_over_protocols,
        conflicts::a_block_longer_than_the_pool,
        conflicts::what_is_merely_in_time_wait_is_free,
        rotation::a_port_that_was_given_back_is_not_the_next,
        rotation::held_wildcards_avoid_time_wait,
        rotation::fixed_ports_are_had_beside_time_wait,
        strangers::are_kept_out_with_every_flag,
        strangers::are_kept_out_while_an_owner_is_there,
        intruders::are_kept_from_root,
        intruders::are_kept_from_root_without_chown,
        intruders::are_kept_from_root_without_net_raw,
        intruders::are_kept_from_root_without_either,
        intruders::are_kept_from_an_ordinary_user,
        owners::listeners_and_sockets_at_every_address,
        owners::any_port_until_all_are_taken,
        owners::close_and_open_again,
        owners::sockets_with_options_keep_them,
        owners::several_sockets_at_one_port,
        owners::what_is_refused,
        owners::listeners_that_were_not_bound,
        ending::drop_frees_the_ports,
        ending::so_does_a_kill,
        ending::a_copy_of_the_sockets_keeps_them,
        ending::bound_sockets_outlive_it,
        differences::tokens_and_association,
        differences::consumers,
        differences::claims,
        differences::automatic_ports,
        differences::automatic_ports_beside_others,
        differences::limits,
        differences::lists,
        differences::release_with_copies,
        differences::sockets_bound_to_devices,
        differences::sockets_that_share_with_an_owner;
}
