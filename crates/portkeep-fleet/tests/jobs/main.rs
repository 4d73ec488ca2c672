//! Jobs' grants: on a real etcd, with real agents, stewards and the real kernel part.

mod cluster;
#[path = "../common/mod.rs"]
mod common;
mod grants;
mod holders;
mod jobs;
#[path = "../../../portkeep-cli/tests/common/json.rs"]
#[allow(
    dead_code,
    reason = "the tests of the command `portkeep` use all of it"
)]
mod json;
mod launchers;
mod slurm;

use std::time::Duration;

use common::ok as done;
use portkeep_tests::trials;

trials! {
    root:
        grants::the_same_ports_on_all_nodes,
        grants::others_are_tried_where_one_is_in_use,
        grants::any_nodes_with_a_label,
        grants::what_users_may_hold,
        grants::wrong_usage,
        holders::a_killed_run_gives_its_ports_back,
        holders::a_steward_that_starts_anew_is_told,
        holders::while_etcd_is_down => Duration::from_secs(1200),
        jobs::a_job_on_two_nodes,
        launchers::mpi_on_two_nodes,
        launchers::torchrun_on_two_nodes,
        launchers::ray_on_two_nodes,
        slurm::jobs_learn_their_ports;
}
