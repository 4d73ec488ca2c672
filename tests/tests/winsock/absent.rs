//! What is not there: functions outside the scope do not link, and without the kernel part sockets
//! hold the ports.

use std::fs;
use std::path::Path;
use std::process::Command;

use portkeep_tests::Sandbox;

use crate::installed::{pkg_config, read};
use crate::program::{assert_passed, command, compile, output, passes, passes_with, sources};

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

/// A wildcard passes over ports in use without asking who has each: nothing but the process' own
/// descriptors is listed in /proc.
pub(crate) fn a_crowded_pool(sandbox: &Sandbox) {
    portkeep_tests::without_portkeep();
    let program = sandbox.state_dir().join("crowded");
    let source = sources().join("crowded.c");
    assert_eq!(compile("gcc", &["-O2", "-Wall"], &source, &program), "");
    let calls = sandbox.state_dir().join("crowded.calls");
    let mut strace = command("strace".as_ref());
    strace.args(["-f", "-e", "trace=openat", "-o"]);
    strace.arg(&calls).arg(&program);
    assert_passed("crowded", &output(&mut strace));
    let calls = fs::read_to_string(calls).expect("what strace wrote");
    let of_proc = |line: &&str| line.contains("\"/proc") && !line.contains("/proc/self/fd");
    let asked: Vec<_> = calls.lines().filter(of_proc).collect();
    assert!(asked.len() < 20, "{} {asked:#?}", asked.len());
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
