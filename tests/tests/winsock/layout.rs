//! The headers' own assertions of layouts, and programs that are strict about the language.

use std::process::Command;

use crate::installed::{pkg_config, read};
use crate::program::sources;

#[track_caller]
fn check(compiler: &str, flags: &[&str]) {
    let headers = read(pkg_config().arg("--cflags"));
    let output = Command::new(compiler)
        .args(["-fsyntax-only", "-Wall", "-Wextra", "-Wpedantic", "-Werror"])
        .args(flags)
        .arg(sources().join("layout.c"))
        .args(headers.split_whitespace())
        .output()
        .unwrap_or_else(|error| panic!("run {compiler}: {error}; install Debian's package of it"));
    assert!(
        output.status.success(),
        "{compiler} {flags:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// 32-bit, too, where compilers for both can be installed side by side.
const WIDTHS: &[&str] = if cfg!(target_arch = "x86_64") {
    &["-m64", "-m32"]
} else {
    &["-O0"]
};

pub(crate) fn in_c() {
    for compiler in ["gcc", "clang"] {
        for &width in WIDTHS {
            for standard in ["-std=gnu89", "-std=c99", "-std=c11", "-std=gnu17"] {
                check(compiler, &[width, standard]);
            }
            check(compiler, &[width, "-O2", "-D_FORTIFY_SOURCE=2"]);
        }
    }
}

pub(crate) fn in_cpp() {
    for compiler in ["g++", "clang++"] {
        for &width in WIDTHS {
            for standard in ["-std=c++11", "-std=c++17", "-std=gnu++20"] {
                check(compiler, &["-x", "c++", width, standard]);
            }
            check(
                compiler,
                &["-x", "c++", width, "-O2", "-D_FORTIFY_SOURCE=2"],
            );
        }
    }
}
