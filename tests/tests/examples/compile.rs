//! The C example and the header that it includes, under strict compilers.

use std::process::Command;

use crate::readme::repository;
use crate::tool::{GCC, GXX};

pub(crate) fn as_c11() {
    GCC.require();
    compile("gcc", &["-std=c11", "-x", "c"]);
}

pub(crate) fn as_cpp() {
    GXX.require();
    compile("g++", &["-std=c++11", "-x", "c++"]);
}

/// Optimised, since some warnings come from what the optimiser finds.
#[track_caller]
fn compile(compiler: &str, language: &[&str]) {
    let output = Command::new(compiler)
        .args(language)
        .args(["-O2", "-Wall", "-Wextra", "-Wpedantic", "-Werror"])
        .args(["-I", "bpf", "-c", "-o", "/dev/null", "examples/c/reserve.c"])
        .current_dir(repository())
        .output()
        .unwrap_or_else(|error| panic!("run {compiler}: {error}"));
    let messages = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{compiler}: {}\n{messages}",
        output.status
    );
    assert_eq!(messages, "");
}
