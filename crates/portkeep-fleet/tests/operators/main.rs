//! The operators' commands on a real etcd: with the production state machine on nodes whose kernels are
//! simulated, and with one node that has its agent's process and a real kernel part.

#[path = "../common/mod.rs"]
mod common;
mod decide;
mod faults;
#[path = "../../../portkeep-cli/tests/common/json.rs"]
#[allow(
    dead_code,
    reason = "the tests of the command `portkeep` use all of it"
)]
mod json;
#[path = "../agent/node.rs"]
#[allow(dead_code, reason = "the agent's tests use all of it")]
mod node;
mod nodes;
mod real;
mod show;
mod waves;

use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use portkeep_fleet::testing::Etcd;
use portkeep_tests::trials;

use common::{fleet, made, ok, ok as done};
use nodes::Node;

trials! {
    root:
        decide::all_or_nothing,
        decide::the_same_again_and_another,
        decide::nodes_that_are_down,
        decide::late_and_left_out,
        decide::exclusions_refuse_no_socket,
        decide::changes,
        faults::a_command_that_dies_at_any_point,
        faults::ctrl_c_leaves_nothing,
        faults::two_operators_compete,
        faults::a_removed_node_is_waited_for_no_longer,
        waves::one_after_the_other,
        waves::stopped_at_the_first_refusal,
        waves::a_rollout_that_dies_goes_on,
        waves::ctrl_c_in_a_pause,
        show::drift_and_repair,
        show::forget_what_etcd_has_lost,
        show::why_and_who,
        real::a_socket_in_the_way_is_named,
        real::taken_out_by_force_is_drift,
        real::a_node_that_was_down_takes_it_over,
        real::exclusions_keep_nobody_out,
        real::a_change_opens_nothing,
        real::a_change_opens_nothing_when_the_agent_dies,
        real::a_node_that_slept_through_a_change,
        real::waves_that_stop_and_go_on,
        real::strangers_at_an_exclusion,
        real::numbers_of_the_fleets_choice;
}

/// Longer than anything takes on a busy machine.
const LONG: Duration = Duration::from_secs(300);

/// Runs a task to its end.
pub fn run<T>(body: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async { tokio::time::timeout(LONG, body).await.expect("in time") })
}

/// Until it is so.
pub fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < LONG, "never: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A fleet with nodes `a`, `b`, … whose agents are connected.
pub fn made_of(etcd: &Etcd, count: usize) -> Vec<Node> {
    made(etcd, &[]);
    let names = ["a", "b", "c", "d"];
    let nodes = names.iter().take(count);
    let nodes: Vec<Node> = nodes
        .map(|name| {
            ok(fleet(etcd, "root").args(["node", "add", name, "--label=role=media"]));
            Node::start(etcd, name, "media", Arc::new(Mutex::default()))
        })
        .collect();
    until("the agents are connected", || {
        let listed = ok(fleet(etcd, "operator").args(["node", "ls", "--json"]));
        let listed: serde_json::Value = serde_json::from_str(&listed).expect("JSON");
        let listed = listed["nodes"].as_array().expect("nodes").clone();
        listed.len() == count && listed.iter().all(|node| node["connected"] == true)
    });
    nodes
}

/// What a command prints with `--json`, as docs/json.md says.
pub fn document(command: &str, text: &str) -> serde_json::Value {
    json::parse(&format!("fleet-{command}"), text)
}

/// The policies, as `status --json` has them.
pub fn status(etcd: &Etcd) -> serde_json::Value {
    let text = ok(fleet(etcd, "operator").args(["status", "--json"]));
    serde_json::from_str::<serde_json::Value>(&text).expect("JSON")["policies"].clone()
}
