//! Declarations, applied by the command.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use portkeep_tests::Sandbox;

use crate::common::{Outcome, done, outcome, portkeep};

/// The default directory of the sandbox.
pub fn directory(sandbox: &Sandbox) -> PathBuf {
    let directory = sandbox.state_dir().join("reservations.d");
    fs::create_dir_all(&directory).expect("make a directory");
    directory
}

/// Writes a file of the default directory: `reserve 1-2/tcp root` and `exclude 3/tcp`, a table each.
pub fn declare(sandbox: &Sandbox, name: &str, entries: &[&str]) -> PathBuf {
    let mut text = "version = 1\n".to_owned();
    for entry in entries {
        let words: Vec<&str> = entry.split(' ').collect();
        let (kind, ports) = (words[0], words[1]);
        let kind = if kind == "exclude" {
            "exclusion"
        } else {
            "reservation"
        };
        text += &format!("[[{kind}]]\nports = {ports:?}\n");
        if let Some(user) = words.get(2) {
            text += &format!("users = [{user:?}]\n");
        }
    }
    write(sandbox, name, &text)
}

pub fn write(sandbox: &Sandbox, name: &str, text: &str) -> PathBuf {
    let path = directory(sandbox).join(name);
    fs::write(&path, text).expect("write the file");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("change the mode");
    path
}

#[track_caller]
pub fn apply() -> String {
    done(&mut portkeep(["apply"]))
}

/// What `--check` says: nothing where nothing differs.
#[track_caller]
pub fn check() -> String {
    let outcome: Outcome = outcome(&mut portkeep(["apply", "--check"]));
    let code = if outcome.stdout.is_empty() { 0 } else { 3 };
    assert_eq!(outcome.code, Some(code), "{outcome:?}");
    outcome.stdout
}

/// Asserts that the command refuses, and gives all that it says.
#[track_caller]
pub fn refuse() -> String {
    let outcome = outcome(&mut portkeep(["apply"]));
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    assert_eq!(outcome.stdout, "");
    outcome.stderr
}
