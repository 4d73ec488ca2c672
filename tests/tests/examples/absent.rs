//! Without the kernel part: the examples fail and tell what to do.

use std::process::Output;

use portkeep_tests::Sandbox;

use crate::command;

pub(crate) fn c(sandbox: &Sandbox) {
    assert_hint(&command::c(sandbox));
}

pub(crate) fn python(sandbox: &Sandbox) {
    assert_hint(&command::python(sandbox));
}

/// `go run` has a last line of its own.
pub(crate) fn go(sandbox: &Sandbox) {
    assert_hint(&command::go(sandbox));
}

pub(crate) fn the_crate(_sandbox: &Sandbox) {
    assert_hint(&command::the_crate());
}

#[track_caller]
fn assert_hint(output: &Output) {
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(String::from_utf8_lossy(&output.stdout), "");
    let message = String::from_utf8_lossy(&output.stderr);
    let mut lines = message.lines();
    assert_eq!(lines.next(), Some("error: Portkeep is not enabled here"));
    let hint = lines.next().unwrap_or_default();
    assert!(
        hint.starts_with("Hint: run `portkeep enable` as root"),
        "{message}"
    );
}
