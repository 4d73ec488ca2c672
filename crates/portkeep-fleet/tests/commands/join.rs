use portkeep_fleet::testing::Etcd;
use portkeep_tests::Sandbox;

use crate::common::{fails, made, ok, with};

pub fn writes_the_configuration(_: &Sandbox) {
    let etcd = Etcd::with_members(1);
    made(&etcd, &["a"]);
    let file = etcd.directory().join("joined/fleet.toml");
    let config = etcd.config("a");
    let path = |path: &Option<std::path::PathBuf>| path.clone().expect("a path");
    let join = |node: &str| {
        let mut command = with(&file);
        command.args(["join", "test", "--no-start", "--node", node, "--engine"]);
        command
            .arg(&config.engine[0])
            .arg("--ca")
            .arg(path(&config.ca));
        command.arg("--certificate").arg(path(&config.certificate));
        command.arg("--key").arg(path(&config.key));
        command
    };
    // The certificate is another node's.
    let refused = fails(&mut join("b"), 1);
    assert!(refused.contains("common name has to be b"), "{refused}");
    assert!(!file.exists());
    ok(&mut join("a"));
    let text = std::fs::read_to_string(&file).expect("the file");
    assert!(text.contains("node = \"a\""), "{text}");
    assert_eq!(
        ok(with(&file).args(["join", "test", "--no-start", "--node=a"]))
            .lines()
            .count(),
        1
    );
    let said = ok(with(&file).args(["join", "test", "--no-start", "--node=a", "--json"]));
    assert_eq!(crate::json::parse("fleet-join", &said)["started"], false);
    let refused = fails(
        with(&file).args(["join", "other", "--no-start", "--node=a"]),
        1,
    );
    assert!(refused.contains("is of the fleet test"), "{refused}");
    // Without an agent there is nobody to tell.
    let refused = fails(
        with(&file)
            .arg("adopt-engine")
            .env("PORTKEEP_STATE_DIR", "/nonexistent"),
        4,
    );
    assert!(refused.contains("the agent does not answer"), "{refused}");
}

pub fn needs_the_operator(_: &Sandbox) {
    let etcd = Etcd::with_members(1);
    made(&etcd, &["a"]);
    let engine = portkeep_fleet::engine::Engine::new(etcd.config("root"));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let delete = portkeep_fleet_core::engine::Transaction::default().delete(
        portkeep_fleet_core::data::Key::Spec("a".parse().expect("a name")),
    );
    runtime
        .expect("a runtime")
        .block_on(engine.transact(&delete))
        .expect("an outcome");
    let file = etcd.config_file("a", "");
    let refused = fails(
        with(&file).args(["join", "test", "--no-start", "--node=a"]),
        1,
    );
    assert!(refused.contains("portkeep fleet node add a"), "{refused}");
}
