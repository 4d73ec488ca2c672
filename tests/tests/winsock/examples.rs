//! The examples, run by the commands that their README gives.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use portkeep_tests::enable::{POOL_END, POOL_START, enable};
use portkeep_tests::{Sandbox, reservations};

use crate::installed::{prefix, repository};
use crate::program::{COMPILERS, compile, output};
use crate::readme::command;

/// An example in a directory with nothing of the repository but itself.
#[track_caller]
fn run(sandbox: &Sandbox, name: &str) -> Output {
    let example = format!("winsock/{name}.c");
    let directory = sandbox.state_dir().join("repository");
    let copy = directory.join("examples").join(&example);
    fs::create_dir_all(copy.parent().expect("a directory")).expect("make a directory");
    fs::copy(repository().join("examples").join(&example), copy).expect("copy the example");
    output(
        Command::new("sh")
            .args(["-c", &command(&example)])
            .current_dir(&directory)
            .env("PKG_CONFIG_PATH", prefix().join("lib/pkgconfig"))
            .env("LD_LIBRARY_PATH", prefix().join("lib")),
    )
}

#[track_caller]
fn lines(output: &Output) -> Vec<String> {
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert_eq!(output.status.code(), Some(0));
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines().map(str::to_owned).collect()
}

/// The first and the last port of a range in words.
#[track_caller]
fn ports(text: &str) -> (u16, u16) {
    let ports = text.split_once('-').and_then(|(start, end)| {
        let ports = (start.parse().ok()?, end.parse().ok()?);
        let pool = POOL_START..=POOL_END;
        (pool.contains(&ports.0) && pool.contains(&ports.1)).then_some(ports)
    });
    ports.unwrap_or_else(|| panic!("no ports of the pool: {text}"))
}

/// The whole life: the story that the examples of the bare ABI tell, with Winsock's codes.
pub(crate) fn life(sandbox: &Sandbox) {
    enable(sandbox);
    tells_the_story(sandbox);
    assert_eq!(reservations::list(sandbox), []);
}

pub(crate) fn life_without_the_kernel_part(sandbox: &Sandbox) {
    tells_the_story(sandbox);
}

#[track_caller]
fn tells_the_story(sandbox: &Sandbox) {
    let lines = lines(&run(sandbox, "life"));
    let [reserved, refused, chosen, released] = lines.as_slice() else {
        panic!("not four lines: {lines:?}")
    };
    let (range, token) = reserved
        .strip_prefix("reserved ports ")
        .and_then(|rest| rest.split_once(", token "))
        .expect("a reservation");
    let (start, end) = ports(range);
    assert_eq!(end - start, 7);
    assert_ne!(token.parse(), Ok(0_u64));
    assert_eq!(
        *refused,
        format!("a stranger's bind to port {start}: error 10013")
    );
    let chosen: u16 = chosen
        .strip_prefix("the server's bind to port 0 took port ")
        .and_then(|port| port.parse().ok())
        .expect("a port");
    assert!((start..=end).contains(&chosen), "{chosen}");
    assert_eq!(
        *released,
        format!("released: the stranger has port {start}")
    );
}

pub(crate) fn event(sandbox: &Sandbox) {
    enable(sandbox);
    let lines = lines(&run(sandbox, "event"));
    let [told] = lines.as_slice() else {
        panic!("not one line: {lines:?}")
    };
    let range = told.strip_prefix("the event is set: 16 bytes, ports ");
    let (start, end) = ports(range.expect("the bytes"));
    assert_eq!(end - start, 3);
    assert_eq!(reservations::list(sandbox), []);
}

pub(crate) fn routine(sandbox: &Sandbox) {
    enable(sandbox);
    let lines = lines(&run(sandbox, "routine"));
    let [waits, told] = lines.as_slice() else {
        panic!("not two lines: {lines:?}")
    };
    assert_eq!(waits, "the thread waits alertably");
    let range = told.strip_prefix("the routine is called: 16 bytes, ports ");
    let (start, end) = ports(range.expect("the bytes"));
    assert_eq!(end - start, 3);
    assert_eq!(reservations::list(sandbox), []);
}

/// Creates, looks up, uses and deletes; nothing is left.
pub(crate) fn persistent(sandbox: &Sandbox) {
    enable(sandbox);
    let lines = lines(&run(sandbox, "persistent"));
    let [reserved, took, deleted] = lines.as_slice() else {
        panic!("not three lines: {lines:?}")
    };
    assert_eq!(reserved, "reserved ports 9000-9009");
    let port: u16 = took
        .strip_prefix("a bind to port 0 took port ")
        .and_then(|port| port.parse().ok())
        .expect("a port");
    assert!((9000..=9009).contains(&port), "{port}");
    assert_eq!(deleted, "deleted");
    assert_eq!(reservations::list(sandbox), []);
}

/// Under strict compilers, but for Windows' pragma.
pub(crate) fn compile_without_a_warning() {
    for name in ["life", "event", "routine", "persistent"] {
        let source = repository().join(format!("examples/winsock/{name}.c"));
        for compiler in COMPILERS {
            for standard in ["-std=c99", "-std=gnu17"] {
                let flags = ["-O2", "-Wall", "-Wextra", "-Werror", "-Wno-unknown-pragmas"];
                let flags = [&flags[..], &["-Wno-missing-field-initializers", standard]].concat();
                let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join("winsock-example");
                assert_eq!(compile(compiler, &flags, &source, &program), "");
            }
        }
    }
}
