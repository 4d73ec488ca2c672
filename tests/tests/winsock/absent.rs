//! What is not there: functions outside the scope do not link, and without the kernel part sockets
//! hold the ports.

use std::path::Path;
use std::process::Command;

use portkeep_tests::Sandbox;

use crate::installed::{pkg_config, read};
use crate::program::{passes, passes_with, sources};

/// As root, and as a user without any privilege, in another way there.
pub(crate) fn the_kernel_part(sandbox: &Sandbox) {
    portkeep_tests::without_portkeep();
    for user in ["0", "65534"] {
        passes_with(sandbox, "held", &[user]);
    }
}

/// As with the kernel part, in both ways of letting a socket in.
pub(crate) fn implicit_binds(sandbox: &Sandbox) {
    for user in ["0", "65534"] {
        passes_with(sandbox, "implicit", &["held", user]);
    }
}

/// What does not depend on who holds the ports is the same.
pub(crate) fn addresses_and_options(sandbox: &Sandbox) {
    portkeep_tests::without_portkeep();
    passes(sandbox, "addresses");
    passes_with(sandbox, "options", &["held"]);
}

/// A child of fork has no part in what its parent holds.
pub(crate) fn forks(sandbox: &Sandbox) {
    portkeep_tests::without_portkeep();
    passes(sandbox, "fork");
}

/// Each compiles, with a declaration of the program's, and none links.
pub(crate) fn functions_outside_the_scope() {
    for (call, missing) in [
        ("WSAEventSelect()", "WSAEventSelect"),
        ("GetAddrInfoW()", "GetAddrInfoW"),
        ("CreateThread()", "CreateThread"),
        ("WSADuplicateSocketW()", "WSADuplicateSocketW"),
        ("GetExtendedTcpTable()", "GetExtendedTcpTable"),
    ] {
        let messages = link(call).expect_err(call);
        let expected = format!("undefined reference to `{missing}'");
        assert!(messages.contains(&expected), "{messages}");
    }
    assert_eq!(link("WSACleanup()"), Ok(()));
}

fn link(call: &str) -> Result<(), String> {
    let installed = read(pkg_config().args(["--cflags", "--libs"]));
    let output = Command::new("gcc")
        .args(["-std=gnu11", "-Wno-implicit-function-declaration"])
        .arg(format!("-DCALL={call}"))
        .arg("-o")
        .arg(Path::new(env!("CARGO_TARGET_TMPDIR")).join("winsock-outside"))
        .arg(sources().join("outside.c"))
        .args(installed.split_whitespace())
        .output()
        .expect("run gcc");
    match output.status.success() {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}
