//! CPython's own tests, from Debian's package of them.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::process::Command;

use portkeep_tests::Sandbox;

use crate::twice::twice;

/// With this in the environment all of asyncio's tests run, which takes some minutes.
const ALL: &str = "PORTKEEP_TEST_ALL";

/// What became of each test.
type Outcomes = BTreeMap<String, String>;

fn run(sandbox: &Sandbox, names: &[impl AsRef<str>]) -> Outcomes {
    let (output, log) = (
        sandbox.state_dir().join("outcomes.json"),
        sandbox.state_dir().join("log"),
    );
    let file = File::create(&log).expect("make a file");
    // It fails where a test fails, which is not the question.
    Command::new("/usr/bin/python3")
        .arg(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/coexistence/suite.py"
        ))
        .arg(&output)
        .args(names.iter().map(AsRef::as_ref))
        .current_dir(sandbox.state_dir())
        .stdout(file.try_clone().expect("copy a descriptor"))
        .stderr(file)
        .status()
        .expect("run python3");
    let log = fs::read_to_string(log).unwrap_or_default();
    let text = fs::read_to_string(&output)
        .unwrap_or_else(|error| panic!("no outcomes: {error}; libpython3.11-testsuite?\n{log}"));
    fs::remove_file(output).expect("remove the outcomes");
    serde_json::from_str(&text).expect("outcomes")
}

/// The same tests pass, fail and are skipped. Where they do not, once more: tests that depend on
/// chance are broken by the kernel part only if that is so again, with the kernel part alone.
fn assert_same(sandbox: &Sandbox, least: usize, names: &[&str]) {
    let [without, with] = twice(sandbox, || run(sandbox, names));
    let passed = without.values().filter(|it| *it == "ok").count();
    assert!(passed >= least, "{passed} of {} passed", without.len());
    assert_eq!(
        without.keys().collect::<Vec<_>>(),
        with.keys().collect::<Vec<_>>()
    );
    let differing: Vec<&String> = without
        .keys()
        .filter(|name| without[*name] != with[*name])
        .collect();
    if differing.is_empty() {
        return;
    }
    println!("once more: {differing:?}");
    let [without, with] = twice(sandbox, || run(sandbox, &differing));
    assert_eq!(without, with);
}

pub(crate) fn of_sockets(sandbox: &Sandbox) {
    assert_same(sandbox, 400, &["test.test_socket"]);
}

pub(crate) fn of_socket_servers(sandbox: &Sandbox) {
    assert_same(sandbox, 20, &["test.test_socketserver"]);
}

pub(crate) fn of_asyncio(sandbox: &Sandbox) {
    if std::env::var_os(ALL).is_some() {
        return assert_same(sandbox, 2000, &["test.test_asyncio"]);
    }
    let with_sockets = [
        "test.test_asyncio.test_events",
        "test.test_asyncio.test_server",
        "test.test_asyncio.test_sock_lowlevel",
        "test.test_asyncio.test_streams",
        "test.test_asyncio.test_unix_events",
        "test.test_asyncio.test_sendfile",
        "test.test_asyncio.test_selector_events",
    ];
    assert_same(sandbox, 600, &with_sockets);
}
