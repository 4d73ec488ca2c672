use std::fs;

use portkeep_fleet::testing::Etcd;
use portkeep_tests::Sandbox;

use crate::common::{fails, fleet, made, ok, with};

pub fn makes_a_fleet(_: &Sandbox) {
    let etcd = Etcd::with_members(1);
    let said = ok(fleet(&etcd, "root").args(["init", "--name", "test", "--band", "62000-62999"]));
    assert!(said.contains("Fleet test is made: band 62000-62999/tcp,62000-62999/udp, format 1"));
    // Who has no user is not answered from now on.
    let refused = fails(fleet(&etcd, "nobody").args(["node", "ls"]), 1);
    assert!(refused.contains("etcd does not allow it"), "{refused}");
}

pub fn again_does_no_harm(_: &Sandbox) {
    let etcd = Etcd::with_members(1);
    made(&etcd, &[]);
    let said = ok(fleet(&etcd, "root").args(["init", "--name=test", "--json"]));
    let document = crate::json::parse("fleet-init", &said);
    assert_eq!(document["made"], false);
    let band = ["init", "--name=test", "--band=62000-62999"];
    let refused = fails(fleet(&etcd, "root").args(band), 1);
    assert!(refused.contains("61000-65535/tcp"), "{refused}");
    // Only root makes users.
    let refused = fails(fleet(&etcd, "operator").args(["init", "--name=test"]), 1);
    assert!(refused.contains("common name root"), "{refused}");
    let refused = fails(fleet(&etcd, "root").args(["init", "--name=other"]), 1);
    assert!(refused.contains("is of the fleet test"), "{refused}");
    for arguments in [["init", "--name=a/b"], ["init", "--band=5"]] {
        fails(fleet(&etcd, "root").args(arguments), 2);
    }
}

pub fn by_options_writes_the_configuration(_: &Sandbox) {
    let etcd = Etcd::with_members(1);
    let file = etcd.directory().join("new/fleet.toml");
    let config = etcd.config("root");
    let path = |path: Option<std::path::PathBuf>| path.expect("a path");
    let url = &config.engine[0];
    let mut command = with(&file);
    command.args(["init", "--name=test", "--engine", url, "--ca"]);
    command.arg(path(config.ca)).arg("--certificate");
    command
        .arg(path(config.certificate))
        .arg("--key")
        .arg(path(config.key));
    ok(&mut command);
    let text = fs::read_to_string(&file).expect("the file");
    assert!(text.contains("name = \"test\""), "{text}");
    assert!(ok(with(&file).args(["node", "ls"])).starts_with("NODE"));
    // Without TLS only on the loopback interface.
    let other = etcd.directory().join("other.toml");
    let bare = ["init", "--name=test", "--engine=http://10.0.0.1:2379"];
    let refused = fails(with(&other).args(bare), 2);
    assert!(refused.contains("without TLS"), "{refused}");
    assert!(!other.exists());
}

pub fn without_etcd_is_undecided(_: &Sandbox) {
    let mut etcd = Etcd::with_members(1);
    etcd.kill(0);
    let said = fails(fleet(&etcd, "root").args(["init", "--name=test"]), 4);
    assert!(said.contains("etcd cannot be asked"), "{said}");
    let missing = etcd.directory().join("missing.toml");
    let said = fails(with(&missing).args(["node", "ls"]), 2);
    assert!(said.contains("cannot read"), "{said}");
}
