//! The operators' commands on a real etcd.

#[path = "../common/mod.rs"]
mod common;
mod init;
mod join;
#[path = "../../../portkeep-cli/tests/common/json.rs"]
#[allow(
    dead_code,
    reason = "the tests of the command `portkeep` use all of it"
)]
mod json;
mod node;
mod roles;

use common::ok as done;
use portkeep_tests::trials;

trials! {
    root:
        init::makes_a_fleet,
        init::by_options_writes_the_configuration,
        init::without_etcd_is_undecided,
        init::again_does_no_harm,
        join::writes_the_configuration,
        join::needs_the_operator,
        node::is_added_listed_and_removed,
        node::that_holds_something_stays,
        node::cannot_be_another_user,
        roles::of_a_node_cover_its_own_keys,
        roles::of_people,
        roles::end_with_the_node,
        roles::changed_certificates_are_read;
}
