//! The example of Microsoft's page on `SIO_RELEASE_PORT_RESERVATION`, byte for byte: `seed.c`.
//!
//! It is from <https://github.com/MicrosoftDocs/win32>, whose code is under the MIT licence.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use portkeep_tests::enable::{POOL_END, POOL_START, enable};
use portkeep_tests::{Sandbox, assert_ok, raw, reservations, sock};

use crate::installed::{pkg_config, prefix, read, repository};
use crate::program::{COMPILERS, assert_passed, command, compile, output};

/// The languages that it is written in: it is C, and C++ too.
const LANGUAGES: [&str; 2] = ["c", "c++"];

/// The example by each compiler and in each language.
#[track_caller]
fn programs(sandbox: &Sandbox) -> Vec<PathBuf> {
    let mut programs = Vec::new();
    for compiler in COMPILERS {
        for language in LANGUAGES {
            let name = format!("seed-{compiler}-{language}");
            let program = sandbox.state_dir().join(name);
            let source = repository().join("tests/tests/winsock/seed.c");
            // As C the documented line, without any flag of ours.
            let flags: &[&str] = match language {
                "c" => &[],
                _ => &["-x", "c++"],
            };
            assert_eq!(compile(compiler, flags, &source, &program), "");
            programs.push(program);
        }
    }
    programs
}

#[track_caller]
fn run(program: &Path, arguments: &str) -> Output {
    output(command(program).args(arguments.split_whitespace()))
}

#[track_caller]
fn assert_printed(output: &Output, code: i32, expected: &str) {
    assert_eq!(String::from_utf8_lossy(&output.stdout), expected);
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert_eq!(output.status.code(), Some(code));
}

pub(crate) fn prints_what_it_prints_on_windows(sandbox: &Sandbox) {
    enable(sandbox);
    prints(sandbox);
    assert_eq!(reservations::list(sandbox), []);
}

/// Sockets hold the ports then.
pub(crate) fn prints_the_same_without_the_kernel_part(sandbox: &Sandbox) {
    prints(sandbox);
}

#[track_caller]
fn prints(sandbox: &Sandbox) {
    for program in programs(sandbox) {
        // UDP over IPv4, and over IPv6 as the number is on Windows and on Linux.
        for family in ["2", "23", "10"] {
            let output = run(&program, &format!("{family} 2 17 5000 20"));
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            let token = token(&text);
            assert_printed(&output, 0, &story(5000, 20, token));
        }
        let output = run(&program, "2 1 6 0 64");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let start: u16 = text
            .split_once("Starting port=")
            .and_then(|(_, rest)| rest.split_once(',')?.0.parse().ok())
            .expect("a port");
        assert!((POOL_START..=POOL_END - 63).contains(&start), "{start}");
        assert_printed(&output, 0, &story(start, 64, token(&text)));
    }
}

#[track_caller]
fn token(text: &str) -> u64 {
    let token = text
        .split_once("Token=")
        .and_then(|(_, rest)| rest.lines().next()?.parse().ok());
    let token = token.unwrap_or_else(|| panic!("no token: {text}"));
    assert_ne!(token, 0);
    token
}

fn story(start: u16, count: u16, token: u64) -> String {
    format!(
        "socket function succeeded\n\
         WSAIoctl(SIO_ACQUIRE_PORT_RESERVATION) succeeded, bytesReturned = 16\n  \
         Starting port={start},  Number of Ports={count}, Token={token}\n\
         WSAIoctl(SIO_RELEASE_PORT_RESERVATION) succeeded, bytesReturned = 0\n"
    )
}

/// The line that the documentation gives, in a directory with nothing but the example.
pub(crate) fn compiles_by_the_documented_line() {
    let page = fs::read_to_string(repository().join("docs/winsock.md")).expect("read the page");
    let line = page
        .lines()
        .find(|line| line.starts_with("    cc -o program program.c $(pkg-config "))
        .expect("a line to compile a program with");
    let readme = fs::read_to_string(repository().join("README.md")).expect("read README.md");
    assert!(readme.contains(line), "README.md has another line");
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("documented");
    fs::create_dir_all(&directory).expect("make a directory");
    let source = repository().join("tests/tests/winsock/seed.c");
    fs::copy(source, directory.join("program.c")).expect("copy the example");
    for compiler in ["cc", "gcc", "clang"] {
        let compiled = output(
            Command::new("sh")
                .args(["-c", &line.replacen("cc", compiler, 1)])
                .env("PKG_CONFIG_PATH", prefix().join("lib/pkgconfig"))
                .current_dir(&directory),
        );
        assert_passed(compiler, &compiled);
        let printed = run(&directory.join("program"), "2 2 17 5000 -1");
        let expected = "Number of ports must be a positive number\n";
        assert_printed(&printed, 1, expected);
    }
}

/// Without the shared library.
pub(crate) fn links_statically() {
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join("seed-static");
    let libraries = read(pkg_config().args(["--static", "--cflags", "--libs"]));
    let compiled = output(
        Command::new("gcc")
            .args(["-static", "-o"])
            .arg(&program)
            .arg(repository().join("tests/tests/winsock/seed.c"))
            .args(libraries.split_whitespace()),
    );
    // The linker warns of what of the C library needs its shared files, which is not used here.
    let said = String::from_utf8_lossy(&compiled.stderr);
    assert!(compiled.status.success(), "{said}");
    let printed = output(Command::new(&program).args(["2", "2", "17", "5000", "-1"]));
    assert_printed(&printed, 1, "Number of ports must be a positive number\n");
}

pub(crate) fn says_what_is_wrong(sandbox: &Sandbox) {
    let programs = programs(sandbox);
    for program in &programs {
        let name = program.display();
        let usage = format!(
            "usage: {name} <addressfamily> <type> <protocol> <StartingPort> <NumberOfPorts>\n\
             Opens a socket for the specified family, type, & protocol\n\
             and then acquires a runtime port reservation for the protocol specified\n\
             {name} example usage\n   {name} 2 2 17 5000 20\n   \
             where AF_INET=2 SOCK_DGRAM=2 IPPROTO_UDP=17 StartPort=5000 NumPorts=20"
        );
        assert_printed(&run(program, ""), 1, &usage);
        let wrong = "Starting point must be either 0 or between 1 and 65,535\n";
        assert_printed(&run(program, "2 2 17 65536 1"), 1, wrong);
        assert_printed(&run(program, "2 2 17 99999999999 1"), 1, wrong);
        let wrong = "Number of ports must be a positive number\n";
        assert_printed(&run(program, "2 2 17 5000 -1"), 1, wrong);
        // There is no such protocol of that type.
        let wrong = "socket function failed with error = 10043\n";
        assert_printed(&run(program, "2 2 6 5000 1"), 1, wrong);
    }
    enable(sandbox);
    let holder = sock::udp4();
    assert_ok!(raw::acquire4(&holder, 5010, 1));
    for program in &programs {
        let refused = |code| {
            format!(
                "socket function succeeded\n\
                 WSAIoctl(SIO_ACQUIRE_PORT_RESERVATION) failed with error = {code}\n"
            )
        };
        assert_printed(&run(program, "2 2 17 5000 20"), 1, &refused(10048));
        assert_printed(&run(program, "2 2 17 5000 0"), 1, &refused(10022));
        assert_printed(&run(program, "2 3 17 5000 1"), 1, &refused(10045));
        assert_printed(&run(program, "2 2 17 40000 1"), 1, &refused(10049));
    }
}
