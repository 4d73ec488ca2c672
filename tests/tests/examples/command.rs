//! Running an example as its README says.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use portkeep_tests::Sandbox;

use crate::readme::{command, repository};
use crate::tool::{CARGO, CC, GO, PYTHON};

#[track_caller]
pub(crate) fn c(sandbox: &Sandbox) -> Output {
    CC.require();
    let files = ["examples/c/reserve.c", "bpf/portkeep.h"];
    output(&mut alone(sandbox, "c/reserve.c", &files))
}

#[track_caller]
pub(crate) fn python(sandbox: &Sandbox) -> Output {
    PYTHON.require();
    output(&mut alone(
        sandbox,
        "python/reserve.py",
        &["examples/python/reserve.py"],
    ))
}

/// The caches are the target's own: neither a home directory nor the network is needed, and the
/// standard library is built once.
#[track_caller]
pub(crate) fn go(sandbox: &Sandbox) -> Output {
    GO.require();
    let caches = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let mut command = alone(sandbox, "go/reserve.go", &["examples/go/reserve.go"]);
    command
        .env("GOCACHE", caches.join("go-build"))
        .env("GOPATH", caches.join("go"));
    command
        .env("GOENV", "off")
        .env("GOPROXY", "off")
        .env("GOTOOLCHAIN", "local");
    command.env_remove("GOFLAGS").env_remove("GO111MODULE");
    output(&mut command)
}

/// Built where the tests were; the sandbox's network namespace reaches no registry.
#[track_caller]
pub(crate) fn the_crate() -> Output {
    CARGO.require();
    let target = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .parent()
        .expect("the target directory");
    let mut command = shell(&command("reserve.rs"), &repository());
    command.env("CARGO_TARGET_DIR", target);
    command
        .env("CARGO_NET_OFFLINE", "true")
        .env("CARGO_TERM_QUIET", "true");
    output(&mut command)
}

/// The command of an example in a directory with nothing of the repository but `files`: what else
/// it read, a copy of it would lack.
#[track_caller]
fn alone(sandbox: &Sandbox, example: &str, files: &[&str]) -> Command {
    let directory = copy(sandbox, files);
    let mut command = shell(&command(example), &directory);
    command.env("TMPDIR", directory);
    command
}

#[track_caller]
fn copy(sandbox: &Sandbox, files: &[&str]) -> PathBuf {
    let directory = sandbox.state_dir().join("repository");
    for file in files {
        let to = directory.join(file);
        fs::create_dir_all(to.parent().expect("it is in a directory")).expect("make a directory");
        fs::copy(repository().join(file), to)
            .unwrap_or_else(|error| panic!("copy {file}: {error}"));
    }
    directory
}

fn shell(line: &str, directory: &Path) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", line]).current_dir(directory);
    command
}

#[track_caller]
fn output(command: &mut Command) -> Output {
    let output = command.output().expect("run sh");
    // For the report of a failed trial.
    println!("{command:?}: {}", output.status);
    println!("{}", String::from_utf8_lossy(&output.stdout));
    println!("{}", String::from_utf8_lossy(&output.stderr));
    output
}
