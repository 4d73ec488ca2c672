//! From any language: nothing but a socket option and `connect()`.

use std::path::Path;
use std::process::Command;

use portkeep_tests::{Protocol, Sandbox, enable};

use crate::scene::{SERVER, server};

const PROGRAMS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/implicit");
const BPF: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../bpf");

#[track_caller]
fn run(command: &mut Command) {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("run {command:?}: {error}"));
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
}

#[track_caller]
fn run_with_servers(program: impl AsRef<Path>, arguments: &[&str]) {
    let _servers = [Protocol::Tcp, Protocol::Udp].map(server);
    run(Command::new(program.as_ref())
        .args(arguments)
        .arg(SERVER.to_string()));
}

pub(crate) fn from_python(sandbox: &Sandbox) {
    enable::enable(sandbox);
    run_with_servers("python3", &[&format!("{PROGRAMS}/connect.py")]);
}

pub(crate) fn from_c(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let program = sandbox.state_dir().join("connect");
    run(Command::new("cc")
        .args(["-Wall", "-Wextra", "-Werror", "-I", BPF, "-o"])
        .arg(&program)
        .arg(format!("{PROGRAMS}/connect.c")));
    run_with_servers(program, &[]);
}
