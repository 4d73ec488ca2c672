use portkeep_fleet::engine::Engine;
use portkeep_fleet::testing::Etcd;
use portkeep_fleet_core::data::Key;
use portkeep_fleet_core::engine::Transaction;
use portkeep_tests::Sandbox;

use crate::common::{fails, fleet, ok};
use crate::nodes::name;
use crate::{document, made_of, run, status, until};

const RTP: [&str; 4] = ["reserve", "rtp", "10000-20000/udp", "--on=all"];

pub fn drift_and_repair(_: &Sandbox) {
    let etcd = Etcd::with_members(1);
    let nodes = made_of(&etcd, 2);
    ok(fleet(&etcd, "operator").args(RTP));
    ok(fleet(&etcd, "operator").args(["drift"]));
    let id = name(status(&etcd)[0]["id"].as_str().expect("an ID"));
    {
        let mut machine = nodes[1].machine.lock().expect("a machine");
        machine.kernel.remove(&id);
        machine.taken_out = Some(id.clone());
    }
    // Whatever wakes its agent.
    ok(fleet(&etcd, "operator").args(["why", "b:80/tcp"]));
    until("the agent has said so", || status(&etcd)[0]["lost"] == 1);
    let drift = fleet(&etcd, "operator")
        .args(["drift"])
        .output()
        .expect("run");
    assert_eq!(drift.status.code(), Some(3));
    let said = String::from_utf8_lossy(&drift.stdout);
    assert!(
        said.contains("b     rtp     10000-20000/udp lost: it is not reserved there"),
        "{said}"
    );
    let json = fleet(&etcd, "operator")
        .args(["drift", "--json"])
        .output()
        .expect("run");
    let json = document("drift", &String::from_utf8(json.stdout).expect("UTF-8"));
    assert_eq!(json["differences"][0]["standing"], "lost");
    // It stays so until somebody says repair: an administrator at the machine at night wins.
    assert!(nodes[1].ports().is_empty());
    let said = ok(fleet(&etcd, "operator").args(["repair"]));
    assert!(said.contains("There is nothing to repair"), "{said}");
    let json = ok(fleet(&etcd, "operator").args(["repair", "a", "--json"]));
    assert_eq!(document("repair", &json)["repaired"], serde_json::json!([]));
    let said = ok(fleet(&etcd, "operator").args(["repair", "b"]));
    assert!(said.contains("b     rtp     enforced"), "{said}");
    assert_eq!(nodes[1].ports(), ["10000-20000/udp"]);
    ok(fleet(&etcd, "operator").args(["drift"]));
    fails(fleet(&etcd, "operator").args(["repair", "nobody"]), 1);
}

pub fn forget_what_etcd_has_lost(_: &Sandbox) {
    let etcd = Etcd::with_members(1);
    let nodes = made_of(&etcd, 1);
    ok(fleet(&etcd, "operator").args(RTP));
    let id = status(&etcd)[0]["id"].as_str().expect("an ID").to_owned();
    let said = fails(fleet(&etcd, "operator").args(["forget", "a", &id]), 1);
    assert!(
        said.contains("etcd knows") && said.contains("unreserve"),
        "{said}"
    );
    run(async {
        let engine = Engine::new(etcd.config("root"));
        let (a, id) = (name("a"), name(&id));
        let lost = Transaction::default()
            .delete(Key::Policy(id.clone()))
            .delete(Key::Members(id.clone(), 0))
            .delete(Key::Have(a, id));
        engine.transact(&lost).await.expect("an outcome");
    });
    ok(fleet(&etcd, "operator").args(["why", "a:80/tcp"]));
    assert_eq!(
        nodes[0].ports(),
        ["10000-20000/udp"],
        "absence is no evidence"
    );
    let said = ok(fleet(&etcd, "operator").args(["forget", "a", &id, "--json"]));
    assert_eq!(document("forget", &said)["node"], "a");
    until("it is released", || nodes[0].ports().is_empty());
}

pub fn why_and_who(_: &Sandbox) {
    let etcd = Etcd::with_members(1);
    let mut nodes = made_of(&etcd, 2);
    ok(fleet(&etcd, "operator").args(RTP).arg("--user=asterisk"));
    let said = ok(fleet(&etcd, "operator").args(["why", "a:10042/udp"]));
    assert_eq!(said, "a: 10042/udp is free here\n");
    let said = ok(fleet(&etcd, "operator").args(["why", "a:10042/udp", "--json"]));
    assert_eq!(
        document("why", &said)["answer"]["explanation"],
        "10042/udp is free here"
    );
    let said = ok(fleet(&etcd, "operator").args(["who", "10042/udp"]));
    assert!(
        said.contains("a     policy rtp   10000-20000/udp  enforced  user asterisk"),
        "{said}"
    );
    let said = ok(fleet(&etcd, "operator").args(["who", "10042/tcp"]));
    assert_eq!(said, "Nobody in the fleet has 10042/tcp\n");
    nodes[1].stop();
    let said = fails(
        fleet(&etcd, "operator").args(["why", "b:1/tcp", "--wait=1"]),
        4,
    );
    assert!(said.contains("b does not answer"), "{said}");
    let json = ok(fleet(&etcd, "operator").args(["who", "10042/udp", "--json"]));
    let json = document("who", &json);
    assert_eq!(json["owners"][1]["standing"], "unknown");
    for wrong in ["a", "a:1", "a:1-2/tcp", ":1/tcp"] {
        fails(fleet(&etcd, "operator").args(["why", wrong]), 2);
    }
    fails(fleet(&etcd, "operator").args(["who", "1-2/tcp"]), 2);
    fails(fleet(&etcd, "operator").args(["why", "c:1/tcp"]), 1);
}
