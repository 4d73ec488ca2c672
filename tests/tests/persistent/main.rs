//! Persistent reservations: who may make and delete them, who may bind in them, and where they hold.

#[path = "../common/ledger.rs"]
mod ledger;
#[path = "../privilege/user_namespace.rs"]
mod user_namespace;

mod consumers;
mod errors;
mod namespaces;
mod parts;
mod quota;
mod race;
mod scene;

use portkeep_tests::trials;

trials! {
    root:
        errors::users_are_refused,
        errors::tokens_are_an_administrators,
        errors::overlaps_and_sockets_in_use,
        errors::only_an_exact_match_is_found,
        consumers::users,
        consumers::groups,
        consumers::cgroups,
        consumers::everybody,
        consumers::nobody_but_associated_sockets,
        parts::every_part_goes_alone,
        parts::the_rest_keeps_its_consumers,
        race::what_stays_reserved_is_never_free,
        namespaces::every_namespace,
        namespaces::an_older_reservation_wins,
        quota::a_user_namespace_reserves_for_itself,
        quota::a_namespace_that_has_gone_gives_back;
}
