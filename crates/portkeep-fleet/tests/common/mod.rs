//! Runs `portkeep-fleet` on a test's etcd.

#![allow(dead_code, reason = "each target uses a part")]

use std::path::Path;
use std::process::{Command, Output};

use portkeep_fleet::testing::Etcd;

/// The command, for whoever has this common name; its configuration is written if it is not there.
pub fn fleet(etcd: &Etcd, name: &str) -> Command {
    let file = etcd.directory().join(format!("{name}.toml"));
    if !file.exists() {
        etcd.config_file(name, "");
    }
    with(&file)
}

/// The command with a configuration file.
pub fn with(file: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_portkeep-fleet"));
    command.env("PORTKEEP_FLEET_CONFIG", file);
    command
}

/// Runs a command that has to succeed, and returns what it prints.
pub fn ok(command: &mut Command) -> String {
    let output = command.output().expect("run portkeep-fleet");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {errors}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// Runs a command that has to end with a status, and returns what it says.
pub fn fails(command: &mut Command, status: i32) -> String {
    let Output {
        status: ended,
        stderr,
        ..
    } = command.output().expect("run portkeep-fleet");
    let errors = String::from_utf8(stderr).expect("UTF-8");
    assert_eq!(ended.code(), Some(status), "{command:?}: {errors}");
    errors
}

/// A fleet `test` with nodes.
pub fn made(etcd: &Etcd, nodes: &[&str]) {
    ok(fleet(etcd, "root").args(["init", "--name=test"]));
    for node in nodes {
        ok(fleet(etcd, "root").args(["node", "add", node]));
    }
}
