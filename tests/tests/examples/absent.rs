//! Without the kernel part: the examples of the bare ABI fail and tell what to do, that of the crate
//! holds its ports by sockets.

use std::process::Output;

use portkeep_tests::Sandbox;

use crate::command;

pub(crate) fn c(sandbox: &Sandbox) {
    portkeep_tests::without_portkeep();
    assert_hint(&command::c(sandbox));
}

pub(crate) fn python(sandbox: &Sandbox) {
    portkeep_tests::without_portkeep();
    assert_hint(&command::python(sandbox));
}

/// `go run` has a last line of its own.
pub(crate) fn go(sandbox: &Sandbox) {
    portkeep_tests::without_portkeep();
    assert_hint(&command::go(sandbox));
}

pub(crate) fn the_crate(_sandbox: &Sandbox) {
    portkeep_tests::without_portkeep();
    let output = command::the_crate();
    assert_eq!(output.status.code(), Some(0));
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.starts_with("reserved 6"), "{text}");
    assert!(text.contains("Address already in use"), "{text}");
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
