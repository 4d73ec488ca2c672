//! The vocabulary of Windows' programs: every spelling of the headers, in every language they may be
//! written in, and what is refused.

use std::path::Path;
use std::process::{Command, Output};

use crate::installed::{pkg_config, read};
use crate::program::{COMPILERS, assert_passed, command, compile, output, sources};

/// With the last name each compiler has for the standard to come.
const C: [&str; 7] = ["c89", "c99", "c11", "c17", "c2x", "gnu89", "gnu17"];
const CPP: [&str; 6] = ["c++11", "c++14", "c++17", "c++20", "c++2b", "gnu++20"];

/// Compiles a source without linking it.
#[track_caller]
fn check(compiler: &str, flags: &[&str], source: &str) -> Output {
    let headers = read(pkg_config().arg("--cflags"));
    Command::new(compiler)
        .args(["-fsyntax-only", "-Wall", "-Wextra", "-Wpedantic", "-Werror"])
        // Of what is Windows' in the program itself: its pragma, and a type that C89 has not.
        .args(["-Wno-unknown-pragmas", "-Wno-long-long"])
        .args(flags)
        .arg(sources().join(source))
        .args(headers.split_whitespace())
        .output()
        .unwrap_or_else(|error| panic!("run {compiler}: {error}; install Debian's package of it"))
}

#[track_caller]
fn compiles(compiler: &str, flags: &[&str]) {
    let output = check(compiler, flags, "words.c");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{compiler} {flags:?}: {said}");
}

const WIDE: [&str; 2] = ["-DUNICODE", "-D_UNICODE"];

pub(crate) fn in_c() {
    for compiler in COMPILERS {
        for standard in C {
            compiles(compiler, &[&format!("-std={standard}")]);
        }
        compiles(compiler, &WIDE);
        // As where another header has brought the C library's own in.
        let first = "-DPORTKEEP_TEST_STDLIB_FIRST";
        compiles(compiler, &[first, "-O2", "-D_FORTIFY_SOURCE=2"]);
    }
}

/// The C++ library's headers take seconds: each standard by one compiler.
pub(crate) fn in_cpp() {
    for (index, standard) in CPP.into_iter().enumerate() {
        let compiler = ["g++", "clang++"][index % 2];
        let standard = format!("-std={standard}");
        compiles(compiler, &["-x", "c++", &standard, WIDE[0], WIDE[1]]);
    }
    compiles("g++", &["-x", "c++", "-O2", "-D_FORTIFY_SOURCE=2"]);
}

/// What would write over memory, or print garbage, does not compile.
pub(crate) fn what_is_refused() {
    for compiler in COMPILERS {
        for (flags, source, said) in [
            (&["-fshort-wchar"][..], "words.c", "sizeof(wchar_t) == 4"),
            (&[][..], "long.c", "negative"),
            (&["-x", "c++"][..], "long.c", "long"),
        ] {
            let output = check(compiler, flags, source);
            let messages = String::from_utf8_lossy(&output.stderr);
            assert!(!output.status.success(), "{compiler} {flags:?} {source}");
            assert!(messages.contains(said), "{compiler}: {messages}");
        }
    }
}

/// By every way to make a program: it runs, and says its arguments.
pub(crate) fn programs_of_every_kind() {
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join("winsock-main");
    let source = sources().join("main.c");
    let shared: [&[&str]; 6] = [
        &WIDE,
        &["-O2", "-flto"],
        &["-O2", "-D_FORTIFY_SOURCE=2", "-fPIE", "-pie"],
        &["-fsanitize=address,undefined", "-fno-sanitize-recover=all"],
        &["-x", "c++", "-std=c++20", WIDE[0], WIDE[1], "-xnone"],
        &["-std=c89", "-O3"],
    ];
    for compiler in COMPILERS {
        for flags in shared {
            let mut flags: Vec<_> = flags.iter().copied().filter(|it| *it != "-xnone").collect();
            if compiler == "clang" && flags.contains(&"-flto") {
                // The usual linker has no part for clang.
                flags.push("-fuse-ld=lld");
            }
            if flags.contains(&"c++") {
                compile_cpp(compiler, &flags, &source, &program);
            } else {
                assert_eq!(compile(compiler, &flags, &source, &program), "");
            }
            let printed = output(
                command(&program)
                    .args(["one", "é"])
                    .env("LC_ALL", "C.UTF-8"),
            );
            assert_passed(compiler, &printed);
            let text = String::from_utf8_lossy(&printed.stdout);
            assert_eq!(text, "3 one é 10093\n", "{compiler} {flags:?}");
        }
    }
}

/// The source is C++, the libraries behind it are none.
#[track_caller]
fn compile_cpp(compiler: &str, flags: &[&str], source: &Path, program: &Path) {
    let installed = read(pkg_config().args(["--cflags", "--libs"]));
    let made = output(
        Command::new(compiler)
            .args(flags)
            .arg(source)
            .args(["-x", "none", "-o"])
            .arg(program)
            .args(installed.split_whitespace()),
    );
    assert_passed(compiler, &made);
}
