//! The programs that pages show.

use std::fs;
use std::path::Path;
use std::process::Command;

use portkeep_tests::Sandbox;
use portkeep_tests::enable::{POOL_END, POOL_START, enable};

use crate::readme::repository;
use crate::tool::{CC, GO, PYTHON};

/// The one block of a language on a page.
#[track_caller]
fn block(page: &str, language: &str) -> String {
    let text = fs::read_to_string(repository().join(page)).expect("read the page");
    let start = format!("\n```{language}\n");
    let blocks: Vec<_> = text.split(&start).skip(1).collect();
    assert_eq!(blocks.len(), 1, "{page}: blocks in {language}");
    let block = blocks[0].split("\n```").next();
    block.expect("an end").to_owned()
}

/// What a command prints on success.
#[track_caller]
fn succeeds(command: &mut Command) -> String {
    let output = command.output().expect("start it");
    assert!(output.status.success(), "{command:?}: {output:?}");
    String::from_utf8(output.stdout).expect("text")
}

/// Its first line ends with a port of the pool, which is even.
#[track_caller]
fn assert_port(said: &str) {
    let port = said
        .trim_end()
        .rsplit(' ')
        .next()
        .and_then(|it| it.parse::<u16>().ok());
    let port = port.unwrap_or_else(|| panic!("no port: {said}"));
    assert!((POOL_START..=POOL_END).contains(&port), "{said}");
    assert!(port.is_multiple_of(2), "{said}");
}

/// It listens at the end, and says what it needs where Portkeep is not enabled.
pub(crate) fn python_of_the_readme(sandbox: &Sandbox) {
    PYTHON.require();
    portkeep_tests::without_portkeep();
    let program = block("README.md", "python");
    let output = Command::new("python3").args(["-c", &program]).output();
    let said = output.expect("start Python").stderr;
    let said = String::from_utf8_lossy(&said);
    assert!(said.contains("Protocol not available"), "{said}");
    enable(sandbox);
    let program = format!("{program}\nprint(server.getsockname()[1] - start)");
    assert_eq!(
        succeeds(Command::new("python3").args(["-c", &program])),
        "0\n"
    );
}

pub(crate) fn python_of_the_abi(sandbox: &Sandbox) {
    PYTHON.require();
    enable(sandbox);
    let program = block("docs/abi.md", "python");
    assert_port(&succeeds(Command::new("python3").args(["-c", &program])));
}

pub(crate) fn c_of_the_abi(sandbox: &Sandbox) {
    CC.require();
    enable(sandbox);
    let source = sandbox.state_dir().join("tree.c");
    fs::write(&source, block("docs/abi.md", "c")).expect("write");
    let program = sandbox.state_dir().join("tree");
    let mut cc = Command::new("cc");
    cc.args(["-std=c11", "-Wall", "-Wextra", "-Werror", "-I"]);
    cc.arg(repository().join("bpf"))
        .arg("-o")
        .arg(&program)
        .arg(source);
    succeeds(&mut cc);
    assert_port(&succeeds(&mut Command::new(program)));
}

pub(crate) fn go_of_the_abi(sandbox: &Sandbox) {
    GO.require();
    enable(sandbox);
    let source = sandbox.state_dir().join("tree.go");
    fs::write(&source, block("docs/abi.md", "go")).expect("write");
    let caches = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let mut go = Command::new("go");
    go.arg("run").arg(source).current_dir(sandbox.state_dir());
    go.env("GOCACHE", caches.join("go-build"))
        .env("GOPATH", caches.join("go"));
    go.env("GOENV", "off")
        .env("GOPROXY", "off")
        .env("GOTOOLCHAIN", "local");
    assert_port(&succeeds(&mut go));
}
