//! The library as `scripts/install-winsock` installs it, in the target directory.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Set in the processes of trials, whose runner has installed the library.
const DONE: &str = "PORTKEEP_TEST_WINSOCK_INSTALLED";

/// The root of the repository.
pub(crate) fn repository() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().expect("tests/ is in the repository").into()
}

/// Where it is installed.
pub(crate) fn prefix() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("winsock")
}

/// Installs it, unless the runner whose trial this is has.
#[track_caller]
pub(crate) fn make_once() {
    if env::var_os(DONE).is_some() {
        return;
    }
    let target = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .parent()
        .expect("the target directory");
    let output = Command::new(repository().join("scripts/install-winsock"))
        .arg("--debug")
        .arg(prefix())
        .env("CARGO_TARGET_DIR", target)
        .env("CC", "cc")
        .output()
        .expect("run scripts/install-winsock");
    assert!(
        output.status.success(),
        "scripts/install-winsock: {}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    // SAFETY: the runner has one thread yet.
    unsafe { env::set_var(DONE, "") };
}

/// The shared library under its soname, the static one, headers, and pkg-config knows them.
pub(crate) fn has_what_a_package_has() {
    let prefix = prefix();
    let dynamic = read(
        Command::new("readelf")
            .arg("-dW")
            .arg(prefix.join("lib/libportkeep-winsock.so")),
    );
    assert!(
        dynamic.contains("Library soname: [libportkeep-winsock.so.0]"),
        "{dynamic}"
    );
    let soname = fs::canonicalize(prefix.join("lib/libportkeep-winsock.so.0")).expect("a library");
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(
        soname.file_name().and_then(|name| name.to_str()),
        Some(&*format!("libportkeep-winsock.so.{version}"))
    );
    assert!(prefix.join("lib/libportkeep-winsock.a").exists());
    for spelling in [
        "synchapi.h",
        "ioapiset.h",
        "windows.h",
        "Windows.h.",
        "winsock2.h",
        "WinSock2.h",
        "ws2ipdef.h",
        "mstcpip.h",
        "iphlpapi.h",
    ] {
        let header = prefix.join("include/portkeep-winsock").join(spelling);
        assert!(header.exists(), "{spelling}");
    }
    let asked = read(pkg_config().arg("--modversion"));
    assert_eq!(asked.trim(), version);
}

/// The libraries have the functions that the page lists, and no other.
pub(crate) fn exports_what_is_documented() {
    let page = fs::read_to_string(repository().join("docs/winsock.md")).expect("read the page");
    let (_, section) = page.split_once("## What there is\n").expect("the list");
    let (section, _) = section
        .split_once("## Errors\n")
        .expect("the end of the list");
    let documented: BTreeSet<_> = section
        .split('`')
        .skip(1)
        .step_by(2)
        .filter(|name| !name.starts_with("SIO_"))
        .map(str::to_owned)
        .collect();
    let mut exported = BTreeSet::new();
    for (library, flags) in [
        ("libportkeep-winsock.so", ["--dynamic", "--defined-only"]),
        (
            "libportkeep-winsock-crt.a",
            ["--extern-only", "--defined-only"],
        ),
    ] {
        let library = prefix().join("lib").join(library);
        let symbols = read(Command::new("nm").args(flags).arg(library));
        let names = symbols.lines().filter_map(|line| {
            let (_, name) = line.split_once(" T ")?;
            Some(name.strip_prefix("portkeep_winsock_").unwrap_or(name))
        });
        exported.extend(names.map(|name| match name {
            // What a program's wmain is called by.
            "main" => "wmain".to_owned(),
            name => name.to_owned(),
        }));
    }
    // Between the runtime's own files.
    assert!(exported.remove("format"));
    assert_eq!(exported, documented);
}

/// `pkg-config` for the installed library.
pub(crate) fn pkg_config() -> Command {
    let mut command = Command::new("pkg-config");
    command.env("PKG_CONFIG_PATH", prefix().join("lib/pkgconfig"));
    command.arg("portkeep-winsock");
    command
}

#[track_caller]
pub(crate) fn read(command: &mut Command) -> String {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("run {command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", output.status);
    String::from_utf8(output.stdout).expect("text")
}
