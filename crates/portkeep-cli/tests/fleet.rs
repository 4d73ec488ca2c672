//! `portkeep fleet`: the program beside it, or in PATH.

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use portkeep_tests::trials;

use common::{PORTKEEP, done, outcome};

trials! {
    plain:
        the_program_beside_it_gets_all_arguments,
        a_program_in_path,
        not_installed;
}

/// A directory of its own with `portkeep` in it.
fn directory(name: &str) -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&directory);
    fs::create_dir_all(&directory).expect("a directory");
    fs::hard_link(PORTKEEP, directory.join("portkeep")).expect("a link");
    directory
}

fn program(directory: &Path) {
    let path = directory.join("portkeep-fleet");
    let script = "#!/bin/sh\necho \"$PORTKEEP_STATE_DIR: $*\"\nexit 3\n";
    fs::write(&path, script).expect("write a program");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("make it executable");
}

fn portkeep(directory: &Path) -> Command {
    let mut command = Command::new(directory.join("portkeep"));
    command.args(["--state-dir", "/there", "fleet"]);
    command
}

fn the_program_beside_it_gets_all_arguments() {
    let directory = directory("fleet-beside");
    program(&directory);
    let arguments = ["reserve", "rtp", "--cgroup", "a.service", "--help"];
    let outcome = outcome(portkeep(&directory).args(arguments));
    assert_eq!(outcome.code, Some(3));
    assert_eq!(
        outcome.stdout,
        "/there: reserve rtp --cgroup a.service --help\n"
    );
    assert!(done(Command::new(PORTKEEP).arg("--help")).contains("fleet"));
}

fn a_program_in_path() {
    let (directory, other) = (directory("fleet-path"), directory("fleet-path-other"));
    program(&other);
    let outcome = outcome(portkeep(&directory).arg("--help").env("PATH", &other));
    assert_eq!(outcome.code, Some(3));
}

fn not_installed() {
    let directory = directory("fleet-absent");
    let outcome = outcome(portkeep(&directory).arg("status").env("PATH", &directory));
    assert_eq!(outcome.code, Some(1));
    let said = outcome.stderr;
    assert!(
        said.contains("portkeep-fleet is not installed\nHint: "),
        "{said}"
    );
}
