//! C programs: compiled as the documentation says, and run.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use portkeep_tests::Sandbox;

use crate::installed::{pkg_config, prefix, read, repository};

/// The compilers that programs are compiled with.
pub(crate) const COMPILERS: [&str; 2] = ["gcc", "clang"];

/// Where the programs of these tests are.
pub(crate) fn sources() -> PathBuf {
    repository().join("tests/tests/winsock/c")
}

/// Compiles a program with what pkg-config says and `flags` in front; the compiler's messages.
#[track_caller]
pub(crate) fn compile(compiler: &str, flags: &[&str], source: &Path, program: &Path) -> String {
    let installed = read(pkg_config().args(["--cflags", "--libs"]));
    let output = Command::new(compiler)
        .args(flags)
        .arg("-o")
        .arg(program)
        .arg(source)
        .args(installed.split_whitespace())
        .output()
        .unwrap_or_else(|error| panic!("run {compiler}: {error}; install Debian's package of it"));
    let messages = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        output.status.success(),
        "{compiler} {}: {}\n{messages}",
        source.display(),
        output.status
    );
    messages
}

/// A program that finds the installed library.
pub(crate) fn command(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.env("LD_LIBRARY_PATH", prefix().join("lib"));
    command
}

/// Compiles a program of these tests with all warnings, by each compiler, and runs it: it says
/// nothing and succeeds.
#[track_caller]
pub(crate) fn passes(sandbox: &Sandbox, name: &str) {
    passes_with(sandbox, name, &[]);
}

/// As [`passes`], with arguments to the program.
#[track_caller]
pub(crate) fn passes_with(sandbox: &Sandbox, name: &str, arguments: &[&str]) {
    for compiler in COMPILERS {
        let program = sandbox.state_dir().join(name);
        let source = sources().join(name).with_extension("c");
        let warnings = ["-g", "-O2", "-Wall", "-Wextra", "-Werror", "-pthread"];
        assert_eq!(compile(compiler, &warnings, &source, &program), "");
        assert_passed(compiler, &output(command(&program).args(arguments)));
    }
}

#[track_caller]
pub(crate) fn assert_passed(what: &str, output: &Output) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && said.is_empty(),
        "{what}: {}\n{said}",
        output.status
    );
}

#[track_caller]
pub(crate) fn output(command: &mut Command) -> Output {
    command
        .output()
        .unwrap_or_else(|error| panic!("run {command:?}: {error}"))
}
