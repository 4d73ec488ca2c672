//! The same program under Wine, compiled for Windows, and here, compiled with this library: what it prints
//! differs only where a file says why.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use portkeep_tests::{Sandbox, skip};

use crate::installed::{read, repository};
use crate::program::{command, compile, output, sources};

pub(crate) fn the_same_mechanics(_: &Sandbox) {
    if !has_wine() {
        skip("there is no Wine with mingw's compiler; scripts/set-up ci installs them");
    }
    let directory = sources().with_file_name("wine");
    let differences = fs::read_to_string(directory.join("differences.txt")).expect("read it");
    let mut differences = parse(&differences);
    let source = directory.join("mechanics.c");
    let (wine, here) = (by_wine(&source), by_this_library(&source));
    let lines = wine.lines().count();
    assert!(lines > 300, "only {lines} lines:\n{wine}");
    assert_eq!(lines, here.lines().count(), "{wine}\n{here}");
    for (wine, here) in wine.lines().zip(here.lines()) {
        if wine == here {
            continue;
        }
        match differences.get_mut(&(wine, here)) {
            Some(found) => *found = true,
            None => panic!("no reason is given for\n< {wine}\n> {here}"),
        }
    }
    let gone: Vec<_> = differences.iter().filter(|(_, found)| !**found).collect();
    assert!(gone.is_empty(), "these no longer differ: {gone:#?}");
}

/// What Wine prints and what is printed here, none of it met yet; each needs a reason above.
fn parse(text: &str) -> BTreeMap<(&str, &str), bool> {
    let mut differences = BTreeMap::new();
    let (mut has_reason, mut wine) = (false, None);
    for line in text.lines() {
        match (line.split_once(' '), wine) {
            _ if line.is_empty() => has_reason = false,
            (Some(("#", _)), None) => has_reason = true,
            (Some(("<", line)), None) if has_reason => wine = Some(line),
            (Some((">", line)), Some(other)) => {
                differences.insert((other, line), false);
                wine = None;
            }
            _ => panic!("differences.txt: {line}"),
        }
    }
    differences
}

fn has_wine() -> bool {
    let script = "command -v x86_64-w64-mingw32-gcc wine64 wine /usr/lib/wine/wine64; true";
    let found = read(Command::new("bash").args(["-c", script]));
    found.lines().count() > 1
}

fn by_wine(source: &Path) -> String {
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join("winsock-mechanics.exe");
    // Of Windows Vista, which has all of it.
    let compiled = output(
        Command::new("x86_64-w64-mingw32-gcc")
            .args(["-O1", "-Wall", "-Werror", "-D_WIN32_WINNT=0x0600", "-o"])
            .arg(&program)
            .arg(source)
            .arg("-lws2_32"),
    );
    let said = String::from_utf8_lossy(&compiled.stderr);
    assert!(compiled.status.success(), "{said}");
    read(Command::new(repository().join("scripts/wine")).arg(program)).replace('\r', "")
}

fn by_this_library(source: &Path) -> String {
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join("winsock-mechanics");
    assert_eq!(
        compile("gcc", &["-O1", "-Wall", "-Werror"], source, &program),
        ""
    );
    read(&mut command(&program))
}
