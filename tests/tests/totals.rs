//! What `./test` makes of what the targets said: `scripts/count-tests`.

use std::io::Write as _;
use std::process::{Command, Stdio};

use portkeep_tests::trials;

trials! {
    plain:
        of_all_kinds_of_targets,
        a_target_without_a_result_has_failed,
        a_build_that_fails_is_a_failure,
        results_of_others_do_not_count,
        colours_are_no_matter,
        nothing_run_is_no_success;
}

const LIBTEST: &str = "
     Running unittests src/lib.rs (target/debug/deps/portkeep-a7517be3acc5569d)

running 3 tests
test held::owner::tests::a_unix_socket_has_no_ports ... ok

test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.06s
";

const MIMIC: &str = "
     Running tests/ls.rs (target/debug/deps/ls-c3ebbc2b4a247709)

running 3 tests
test [root] an_empty_table_has_its_header ... ok
test [root] elsewhere ... ignored (needs root)
test [root] failing   ... FAILED

test result: FAILED. 10 passed; 1 failed; 2 ignored; 0 measured; 0 filtered out; finished in 0.06s

error: test failed, to rerun pass `-p portkeep-cli --test ls`
";

const DOCS: &str = "
   Doc-tests portkeep

running 4 tests
test result: ok. 4 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.03s

running 2 tests
test result: ok. 1 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.03s
";

const KILLED: &str = "
     Running tests/races/main.rs (target/debug/deps/races-c3ebbc2b4a247709)

running 3 tests
test [root] one ... ok
error: test failed, to rerun pass `-p portkeep-tests --test races`

Caused by:
  process didn't exit successfully: `target/debug/deps/races` (signal: 9, SIGKILL: kill)
";

/// The line, and whether it is a success.
fn count(status: i32, output: &str) -> (String, bool) {
    let mut command = Command::new(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../scripts/count-tests"
    ));
    command.args([&status.to_string(), "12"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().expect("start it");
    let mut input = child.stdin.take().expect("a pipe");
    input.write_all(output.as_bytes()).expect("write");
    drop(input);
    let output = child.wait_with_output().expect("wait for it");
    let line = String::from_utf8(output.stdout).expect("text");
    (line, output.status.success())
}

#[track_caller]
fn assert_count(status: i32, output: &str, numbers: [u32; 3], success: bool) {
    let [passed, failed, ignored] = numbers;
    let line = format!("{passed} passed, {failed} failed, {ignored} ignored in 12 seconds\n");
    assert_eq!(count(status, output), (line, success));
}

fn of_all_kinds_of_targets() {
    assert_count(0, LIBTEST, [3, 0, 0], true);
    assert_count(0, &[LIBTEST, DOCS].concat(), [8, 0, 1], true);
    assert_count(101, &[LIBTEST, MIMIC, DOCS].concat(), [18, 1, 3], false);
}

fn a_target_without_a_result_has_failed() {
    assert_count(101, &[KILLED, LIBTEST].concat(), [3, 1, 0], false);
    assert_count(101, &[MIMIC, KILLED].concat(), [10, 2, 2], false);
}

fn a_build_that_fails_is_a_failure() {
    let words = "error: could not compile `portkeep` (lib) due to 1 previous error\n";
    assert_count(101, words, [0, 1, 0], false);
}

/// As the output of a failed test of the runner has them.
fn results_of_others_do_not_count() {
    let inner = MIMIC.split_once("\n\n").expect("two parts").1;
    let nested = LIBTEST.replace("\ntest result", &format!("{inner}\ntest result"));
    assert_count(0, &nested, [3, 0, 0], true);
}

fn colours_are_no_matter() {
    let coloured = KILLED.replace("Running", "\x1b[1m\x1b[92mRunning\x1b[0m");
    assert_count(101, &[&coloured, LIBTEST].concat(), [3, 1, 0], false);
}

fn nothing_run_is_no_success() {
    assert_count(0, "", [0, 0, 0], false);
    let ignored = LIBTEST.replace("3 passed; 0 failed; 0", "0 passed; 0 failed; 3");
    assert_count(0, &ignored, [0, 0, 3], false);
}
