//! What the inner runs run.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process;
use std::thread;
use std::time::{Duration, Instant};

use portkeep_tests::{Sandbox, assert_ok, proc, sock};

use crate::runner::BODIES;

pub(crate) fn passes(_sandbox: &Sandbox) {}

pub(crate) fn skips(_sandbox: &Sandbox) {
    portkeep_tests::skip("no such feature");
}

pub(crate) fn panics(sandbox: &Sandbox) {
    let _ = sandbox.outside_cgroup();
    println!("the last words");
    panic!("on purpose");
}

pub(crate) fn panics_plainly() {
    panic!("on purpose");
}

pub(crate) fn exits(_sandbox: &Sandbox) {
    process::exit(0);
}

pub(crate) fn crashes(_sandbox: &Sandbox) {
    process::abort();
}

pub(crate) fn hangs(_sandbox: &Sandbox) {
    let _child = proc::fork_child(|| sleep());
    sleep();
}

pub(crate) fn escapes_and_hangs(sandbox: &Sandbox) {
    proc::enter_cgroup(&sandbox.outside_cgroup());
    sleep();
}

pub(crate) fn leaves_a_process(_sandbox: &Sandbox) {
    let child = proc::fork_child(|| sleep());
    fs::write(shared("left"), child.pid().to_string()).expect("write the process id");
    std::mem::forget(child);
}

pub(crate) fn waits_to_be_killed(sandbox: &Sandbox) {
    let child = proc::fork_child(|| sleep());
    let line = format!("{} {}", sandbox.cgroup().display(), child.pid());
    fs::write(shared("waiting.new"), line).expect("write the process id");
    fs::rename(shared("waiting.new"), shared("waiting")).expect("publish the process id");
    sleep();
}

pub(crate) fn meets_the_second(_sandbox: &Sandbox) {
    meet("first", "second");
}

pub(crate) fn meets_the_first(_sandbox: &Sandbox) {
    meet("second", "first");
}

/// Passes only if the other runs at the same time; both hold the same port meanwhile.
fn meet(own: &str, other: &str) {
    let socket = sock::tcp4();
    assert_ok!(sock::bind_any(&socket, 8080));
    assert_ok!(sock::listen(&socket));
    fs::write(shared(own), "").expect("tell the other");
    wait_for(&shared(other));
}

/// Waits until a file is there.
pub(crate) fn wait_for(path: &Path) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !path.exists() {
        assert!(Instant::now() < deadline, "{} never came", path.display());
        thread::sleep(Duration::from_millis(5));
    }
}

/// A file of the directory that the outer trial shares with the bodies.
fn shared(name: &str) -> PathBuf {
    PathBuf::from(env::var_os(BODIES).expect("the shared directory")).join(name)
}

fn sleep() -> ! {
    loop {
        thread::park();
    }
}
