//! The C runtime's part: `wmain` and wide output.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::program::{COMPILERS, command, compile, output, sources};

const LINES: &str = "\
[wide] [narrow] [narrow] [wide] [wide] [narrow] [wide]
[abcde]
[-1] [2] [3] [ab] [AB] [10] [0x10]
[-5] [18364758544493064720] [fedcba9876543210] [FEDCBA9876543210] [-6]
[-7] [8] [-9] [4] [4]
[-1] [4294967295] [ffffffff]
[1] [1]
[    wide] [wide    ] [na] [   wid] [00042] [+42] [ 42]
[1.50] [1.500000e+00] [1.5] [1.500000]
[00000000000012AB] [    00000000000012AB]
[%] [y] []
5
[printf]
";

#[track_caller]
fn program(compiler: &str, name: &str) -> PathBuf {
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{compiler}"));
    let source = sources().join(name).with_extension("c");
    assert_eq!(
        compile(compiler, &["-Wall", "-Werror"], &source, &program),
        ""
    );
    program
}

pub(crate) fn conversions_and_arguments() {
    for compiler in COMPILERS {
        let program = program(compiler, "wprintf");
        // As in the locale, and bytes that are no character in it as they came.
        for (locale, accents) in [("C.UTF-8", "é€"), ("C", "??")] {
            let odd = OsStr::from_bytes(b"\xff\xe9x");
            let mut command = command(&program);
            command.arg("é").arg("").arg(odd).env("LC_ALL", locale);
            let output = output(&mut command);
            let mut expected =
                format!("{LINES}[{accents}]\nfour4\n-12 2147483647 -2147483648 0\n").into_bytes();
            expected.extend_from_slice("[é][]".as_bytes());
            expected.extend_from_slice(b"[\xff\xe9x]\n[fputws]");
            let accent = accents.chars().next().expect("an accent");
            expected.extend_from_slice(format!("{accent}pq_putws\n\n").as_bytes());
            assert_eq!(
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&expected),
                "{compiler}, {locale}"
            );
            assert_eq!(output.stdout, expected);
            assert_eq!(output.status.code(), Some(4));
        }
    }
}
