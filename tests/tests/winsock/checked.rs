//! The overlapped machinery under tools that watch memory and locks: none has anything to say.

use std::path::PathBuf;
use std::process::Command;

use portkeep_tests::Sandbox;
use portkeep_tests::enable::enable;

use crate::installed::prefix;
use crate::program::{assert_passed, command, compile, output, sources};

/// The programs with threads, and what they are told: for tools, which make them slower, that is less.
const PROGRAMS: [(&str, &[&str]); 7] = [
    ("overlapped", &[]),
    ("pending", &[]),
    ("storm", &[]),
    ("transfer", &[]),
    ("port", &[]),
    ("closing", &[]),
    ("transfer_storm", &["4000"]),
];

#[track_caller]
fn compiled(sandbox: &Sandbox, name: &str, flags: &[&str]) -> PathBuf {
    let program = sandbox.state_dir().join(name);
    let flags = [&["-g", "-O1", "-pthread"], flags].concat();
    let source = sources().join(name).with_extension("c");
    assert_eq!(compile("gcc", &flags, &source, &program), "");
    program
}

/// What threads pass each other through the library's calls is passed safely. The address layout
/// is not randomised: that of newer kernels is too wide for this ThreadSanitizer.
pub(crate) fn by_thread_sanitizer(sandbox: &Sandbox) {
    enable(sandbox);
    for (name, arguments) in PROGRAMS {
        let program = compiled(sandbox, name, &["-fsanitize=thread"]);
        let mut setarch = Command::new("setarch");
        setarch.arg("-R").arg(&program).args(arguments);
        // A child of fork(2) that starts a thread is beyond it by default.
        setarch.env("TSAN_OPTIONS", "die_after_fork=0");
        setarch.env("LD_LIBRARY_PATH", prefix().join("lib"));
        assert_passed(name, &output(&mut setarch));
    }
}

#[track_caller]
fn by_valgrind(sandbox: &Sandbox, tool: &[&str]) {
    enable(sandbox);
    for (name, arguments) in PROGRAMS {
        let program = compiled(sandbox, name, &[]);
        let mut valgrind = command("valgrind".as_ref());
        valgrind.args(["--quiet", "--error-exitcode=99"]).args(tool);
        assert_passed(name, &output(valgrind.arg(&program).args(arguments)));
    }
}

/// The library's own accesses, too: they are all under its lock.
pub(crate) fn by_helgrind(sandbox: &Sandbox) {
    let suppressions = sources().join("helgrind.supp");
    let suppressions = format!("--suppressions={}", suppressions.display());
    by_valgrind(sandbox, &["--tool=helgrind", &suppressions]);
}

pub(crate) fn by_memcheck(sandbox: &Sandbox) {
    by_valgrind(
        sandbox,
        &[
            "--leak-check=full",
            "--errors-for-leak-kinds=definite",
            "--show-leak-kinds=definite",
        ],
    );
}
