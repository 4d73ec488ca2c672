//! An associated socket that `connect()` binds gets a port of its block.

#[path = "../common/ledger.rs"]
mod ledger;
#[path = "../common/shared.rs"]
mod shared;

mod kinds;
mod languages;
mod line;
mod persistent;
mod race;
mod races;
mod refused;
mod scene;
mod uring;

use portkeep_tests::trials;

trials! {
    root:
        kinds::of_every_kind,
        kinds::of_a_late_binding_socket,
        kinds::by_fast_open,
        kinds::from_many_threads,
        kinds::not_of_multipath_sockets,
        kinds::not_of_unassociated_sockets,
        kinds::not_of_bound_sockets,
        kinds::not_by_sendto_and_listen,
        languages::from_python,
        languages::from_c,
        persistent::of_an_administrators_socket,
        persistent::of_what_a_cut_leaves,
        races::release_and_connect,
        races::delete_and_connect,
        races::delete_in_every_namespace_and_connect,
        races::storm,
        refused::where_the_block_is_full,
        refused::where_the_reservation_has_ended,
        refused::where_all_is_in_time_wait,
        refused::at_the_other_end,
        refused::for_their_address,
        refused::below_the_unprivileged_ports,
        uring::connects;
}
