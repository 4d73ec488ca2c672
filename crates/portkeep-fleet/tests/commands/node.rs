use portkeep_fleet::engine::Engine;
use portkeep_fleet::testing::Etcd;
use portkeep_fleet_core::data::{Boot, Have, Key, Name, Report, Value};
use portkeep_fleet_core::engine::Transaction;
use portkeep_tests::Sandbox;

use crate::common::{fails, fleet, made, ok};

fn document(schema: &str, text: &str) -> serde_json::Value {
    crate::json::parse(&format!("fleet-node-{schema}"), text)
}

pub fn is_added_listed_and_removed(_: &Sandbox) {
    let etcd = Etcd::with_members(1);
    made(&etcd, &[]);
    let add = [
        "node",
        "add",
        "media-17",
        "--label=role=media",
        "--label=rack=b4",
    ];
    let said = ok(fleet(&etcd, "root").args(add));
    assert!(said.contains("media-17 may join; its certificate needs the common name media-17"));
    ok(fleet(&etcd, "root").args(["node", "add", "media-1"]));
    let listed = document(
        "ls",
        &ok(fleet(&etcd, "operator").args(["node", "ls", "--json"])),
    );
    assert_eq!(listed["nodes"][1]["labels"]["rack"], "b4");
    assert_eq!(listed["nodes"][1]["connected"], false);
    let again = ["node", "add", "media-17", "--label=role=spare", "--json"];
    assert_eq!(
        document("add", &ok(fleet(&etcd, "root").args(again)))["added"],
        false
    );
    let listed = ok(fleet(&etcd, "operator").args(["node", "ls"]));
    assert!(
        listed.contains("media-17  role=spare  not heard of  0"),
        "{listed}"
    );
    ok(fleet(&etcd, "root").args(["node", "remove", "media-17"]));
    let listed = ok(fleet(&etcd, "operator").args(["node", "ls"]));
    assert!(
        !listed.contains("media-17") && listed.contains("media-1 "),
        "{listed}"
    );
    let said = fails(fleet(&etcd, "root").args(["node", "remove", "media-17"]), 1);
    assert!(said.contains("there is no node media-17"), "{said}");
    for add in [["a", "--label=x"], ["a/b", "--json"], ["root", "--json"]] {
        fails(fleet(&etcd, "root").args(["node", "add"]).args(add), 2);
    }
}

pub fn that_holds_something_stays(_: &Sandbox) {
    let etcd = Etcd::with_members(1);
    made(&etcd, &["a"]);
    let name = |text: &str| text.parse::<Name>().expect("a name");
    let boot = Boot {
        machine: name("m"),
        boot: name("b"),
    };
    let have = Value::Have(Have::new(Report::Held, boot, 1, &[]));
    let held = Transaction::default().put(Key::Have(name("a"), name("rtp")), have);
    let engine = Engine::new(etcd.config("root"));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.expect("a runtime");
    runtime
        .block_on(engine.transact(&held))
        .expect("an outcome");
    let said = fails(fleet(&etcd, "root").args(["node", "remove", "a"]), 1);
    assert!(
        said.contains("a holds rtp") && said.contains("--gone"),
        "{said}"
    );
    let said = ok(fleet(&etcd, "root").args(["node", "remove", "a", "--gone", "--json"]));
    assert_eq!(document("remove", &said)["held"][0], "rtp");
    let listing = runtime.block_on(engine.list("n/")).expect("a listing");
    assert_eq!(listing.reads, []);
}

/// A node's certificate must not be an operator's at once.
pub fn cannot_be_another_user(_: &Sandbox) {
    let etcd = Etcd::with_members(1);
    made(&etcd, &[]);
    let said = fails(fleet(&etcd, "root").args(["node", "add", "operator"]), 1);
    assert!(
        said.contains("a user operator with the role portkeep/test/operator"),
        "{said}"
    );
}
