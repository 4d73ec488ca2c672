//! `portkeep fleet`: the start of `portkeep-fleet`.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use portkeep_tests::trials;

trials! {
    plain:
        starts_the_program_beside_it,
        says_how_to_get_it;
}

/// The command in a directory of its own.
fn installed(name: &str) -> PathBuf {
    let directory = std::env::temp_dir().join(format!("portkeep-{name}-{}", std::process::id()));
    fs::create_dir_all(&directory).expect("a directory");
    fs::copy(env!("CARGO_BIN_EXE_portkeep"), directory.join("portkeep")).expect("copy");
    directory
}

fn run(directory: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(directory.join("portkeep"))
        .args(arguments)
        .env("PATH", directory.join("empty"))
        .output()
        .expect("run portkeep");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    (
        output.status.code(),
        text(output.stdout),
        text(output.stderr),
    )
}

fn starts_the_program_beside_it() {
    let directory = installed("fleet-beside");
    let program = directory.join("portkeep-fleet");
    fs::write(&program, "#!/bin/sh\nfor a; do echo \"$a\"; done\nexit 4\n").expect("write");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("chmod");
    let arguments = [
        "fleet", "reserve", "--help", "--json", "--cgroup", "a b", "--", "-x",
    ];
    let (status, out, errors) = run(&directory, &arguments);
    assert_eq!((status, errors.as_str()), (Some(4), ""));
    assert_eq!(out, "reserve\n--help\n--json\n--cgroup\na b\n--\n-x\n");
    fs::remove_dir_all(directory).expect("remove");
}

fn says_how_to_get_it() {
    let directory = installed("fleet-missing");
    let (status, out, errors) = run(&directory, &["fleet", "status"]);
    assert_eq!((status, out.as_str()), (Some(1), ""));
    assert!(
        errors.starts_with("portkeep: portkeep-fleet is not installed\nHint: "),
        "{errors}"
    );
    fs::remove_dir_all(directory).expect("remove");
}
