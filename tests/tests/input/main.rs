//! Values of every length and content, from a program that means no good or has a bug: each is
//! answered with the errno that the ABI says, and nothing comes of it.

#[path = "../common/ledger.rs"]
mod ledger;

mod bytes;
mod extremes;
mod get;
mod random;
mod set;
mod watch;

use portkeep_tests::trials;

trials! {
    root:
        set::acquires_of_every_length,
        set::tokens_of_every_length,
        set::tails_must_be_zero,
        set::persistent_calls_of_every_length,
        set::reserved_bytes_must_be_zero,
        set::what_is_only_read_is_not_set,
        get::answers_of_every_length,
        get::what_is_only_set_is_not_read,
        get::other_levels_are_left_alone,
        extremes::first_and_last_ports,
        extremes::the_whole_port_space,
        extremes::ports_are_in_network_byte_order,
        extremes::alignments,
        watch::events_of_every_length,
        watch::requests_of_every_length,
        watch::hundreds_of_watchers,
        random::calls_of_a_user;
}
