//! What a user without privilege can do, and cannot.

#[path = "../common/capabilities.rs"]
mod capabilities;
#[path = "../common/holder.rs"]
mod holder;
#[path = "../common/ledger.rs"]
mod ledger;

mod accounts;
mod bpf;
mod claim;
mod others;
mod pins;
mod quota;
mod same_user;
mod user_namespace;
mod users;

use portkeep_tests::trials;

trials! {
    root:
        accounts::whoever_can_become_anybody_counts_once,
        accounts::nobody_fills_the_table_with_namespaces,
        claim::the_charge_moves_to_the_claimer,
        claim::more_than_is_left_is_refused,
        claim::between_processes_of_one_user_nothing_moves,
        claim::an_administrator_is_not_charged,
        claim::what_an_administrator_gives_away_is_charged,
        others::reservations_are_out_of_reach,
        others::everybody_reads_the_list,
        pins::cannot_be_opened,
        pins::cannot_be_changed,
        pins::programs_cannot_be_detached,
        quota::each_user_has_one,
        quota::processes_and_protocols_and_namespaces_share_it,
        quota::release_gives_back,
        quota::close_gives_back,
        quota::every_end_of_a_process_gives_back,
        quota::an_administrator_has_none,
        same_user::any_process_of_the_user_may_bind,
        same_user::the_effective_user_counts,
        same_user::another_user_namespace_is_no_way_in,
        same_user::a_claim_changes_the_user,
        same_user::only_an_acquire_takes_the_flag,
        users::a_namespaces_capabilities_do_not_lift_the_quota,
        users::ids_inside_count_against_its_maker,
        users::nested_namespaces_count_against_the_outermost_maker,
        users::a_containers_users_have_quotas_of_their_own,
        users::privileged_ports_are_the_network_namespaces,
        users::owners_are_told_by_their_outer_ids;
}
