//! Starting the `portkeep` command, and judging how it ended.
//!
//! In a root trial the environment already points to the sandbox.

#![allow(
    dead_code,
    unused_imports,
    reason = "each test target uses a part of it"
)]

pub mod accounts;
pub mod json;
pub mod kernel_part;
pub mod persistent;
pub mod python;
mod running;

use std::ffi::OsStr;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::Path;
use std::process::Command;

use nix::unistd::{Gid, Uid, setgroups, setresgid, setresuid};
use portkeep_tests::runtime_dir;

pub use running::{Running, eventually};

/// The binary under test.
pub const PORTKEEP: &str = env!("CARGO_BIN_EXE_portkeep");

/// An ordinary user, `nobody` on most systems.
pub const USER: u32 = 65534;

/// The command with these words after its name.
pub fn portkeep<W: AsRef<OsStr>>(words: impl IntoIterator<Item = W>) -> Command {
    let mut command = Command::new(PORTKEEP);
    command.args(words);
    command
}

/// [`portkeep`] as [`USER`], without any capability.
pub fn portkeep_as_user<W: AsRef<OsStr>>(words: impl IntoIterator<Item = W>) -> Command {
    let path = Path::new(PORTKEEP);
    let (directory, name) = path.parent().zip(path.file_name()).expect("a path");
    // Started from its directory: the user may not pass through those above it.
    let mut command = Command::new(Path::new(".").join(name));
    command.args(words).current_dir(directory);
    command.env("XDG_RUNTIME_DIR", runtime_dir(USER));
    let become_user = || {
        let (uid, gid) = (Uid::from_raw(USER), Gid::from_raw(USER));
        setgroups(&[])?;
        setresgid(gid, gid, gid)?;
        Ok(setresuid(uid, uid, uid)?)
    };
    // SAFETY: the closure makes three system calls and allocates nothing.
    unsafe { command.pre_exec(become_user) };
    command
}

/// [`portkeep`] and [`portkeep_as_user`], for what everybody can do.
pub const EVERYBODY: [fn(&[&str]) -> Command; 2] =
    [|words| portkeep(words), |words| portkeep_as_user(words)];

/// What a command that has ended left.
#[derive(Debug)]
pub struct Outcome {
    /// The exit status; `None` if a signal ended it.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

/// Runs a command to its end.
pub fn outcome(command: &mut Command) -> Outcome {
    let output = command.output().expect("start the command");
    let text = |bytes| String::from_utf8(bytes).expect("output in UTF-8");
    Outcome {
        code: output.status.code(),
        signal: output.status.signal(),
        stdout: text(output.stdout),
        stderr: text(output.stderr),
    }
}

/// Asserts that the command succeeds without a word on standard error; gives its output.
#[track_caller]
pub fn done(command: &mut Command) -> String {
    let outcome = outcome(command);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert_eq!(outcome.stderr, "", "standard error");
    outcome.stdout
}

/// The exit status of a refusal: commands under `run` have 1 for failures of their own.
fn refusal_code<'a>(mut words: impl Iterator<Item = &'a OsStr>) -> i32 {
    if words.next() == Some(OsStr::new("run")) {
        125
    } else {
        1
    }
}

/// Asserts that the command is refused, with a reason and a hint or more, and nothing on standard
/// output; gives the reason, the first line.
#[track_caller]
pub fn refused(command: &mut Command) -> String {
    let (code, outcome) = (refusal_code(command.get_args()), outcome(command));
    assert_eq!(outcome.code, Some(code), "{outcome:?}");
    assert_eq!(outcome.stdout, "", "standard output");
    let (reason, hints) = outcome
        .stderr
        .split_once('\n')
        .expect("a reason and a hint");
    assert_ne!(hints, "", "{outcome:?}");
    assert!(
        hints.lines().all(|line| line.starts_with("Hint: ")),
        "{outcome:?}"
    );
    let reason = reason.strip_prefix("portkeep: ");
    reason.expect("the name of the program").to_owned()
}

/// Asserts that the command is refused and gives its first hint.
#[track_caller]
pub fn hint(command: &mut Command) -> String {
    let (code, outcome) = (refusal_code(command.get_args()), outcome(command));
    assert_eq!(outcome.code, Some(code), "{outcome:?}");
    let hint = outcome
        .stderr
        .lines()
        .find_map(|line| line.strip_prefix("Hint: "));
    hint.unwrap_or_else(|| panic!("no hint: {outcome:?}"))
        .to_owned()
}

/// Asserts that the words are taken for wrong usage, with a word on it and no other effect.
#[track_caller]
pub fn misused(words: &[&str]) {
    let outcome = outcome(&mut portkeep(words));
    let code = if words.contains(&"run") { 125 } else { 2 };
    assert_eq!(outcome.code, Some(code), "{words:?}: {outcome:?}");
    assert_eq!(outcome.stdout, "", "{words:?}");
    assert!(
        outcome.stderr.starts_with("error: "),
        "{words:?}: {outcome:?}"
    );
}

/// The name that the user database has for a user, or the number.
pub fn user_name(uid: u32) -> String {
    let user = nix::unistd::User::from_uid(Uid::from_raw(uid)).expect("ask for the user");
    user.map_or_else(|| uid.to_string(), |user| user.name)
}

/// The cells of a line of an aligned table: two or more spaces are between them.
pub fn cells(line: &str) -> Vec<&str> {
    line.split("  ")
        .map(str::trim)
        .filter(|cell| !cell.is_empty())
        .collect()
}
