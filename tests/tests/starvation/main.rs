//! Nobody starves others, by sockets, ports, namespaces or user ids, however many there are.

#[path = "../common/shared.rs"]
mod shared;
#[path = "../privilege/user_namespace.rs"]
mod user_namespace;

mod budget;
mod crowd;
mod shares;
mod stage;
mod subordinates;

use portkeep_tests::trials;

trials! {
    root:
        budget::an_acquire_of_many_ports,
        budget::a_choice_in_a_full_block,
        budget::time_waits_on_one_port,
        crowd::a_free_port_is_acquired,
        crowd::an_owner_binds,
        crowd::a_wildcard_is_served,
        crowd::a_crowd_that_moves,
        shares::of_reservations,
        shares::of_consumers,
        shares::of_chunks,
        subordinates::count_as_their_owner,
        subordinates::by_programs_that_set_the_user_id;
}
