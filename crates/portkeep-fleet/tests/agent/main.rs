//! The agent on a real etcd, with a real kernel part.

#[path = "../common/mod.rs"]
mod common;
mod engine_changes;
mod faults;
mod life;
mod local;
mod node;

use portkeep_tests::trials;

trials! {
    root:
        life::of_a_policy,
        life::of_a_policy_that_changes,
        life::of_a_grant,
        life::what_is_in_the_way_is_named,
        life::limits_of_the_node,
        life::labels_select,
        life::answers_operators,
        faults::killed_at_any_point,
        faults::without_etcd,
        faults::on_a_full_disk,
        faults::taken_out_by_hand,
        faults::of_another_machine_with_its_name,
        engine_changes::all_keys_are_deleted,
        engine_changes::a_new_cluster,
        engine_changes::an_old_snapshot,
        local::requests_are_bounded,
        local::only_root_changes_something,
        local::one_agent_a_machine;
}
