//! A thousand declared reservations, applied by the command.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use portkeep_admin::remove;
use portkeep_tests::{Sandbox, enable};

use crate::page::{report, section};
use crate::stopwatch::{median, processor_time_of_children, time};

const MANY: u16 = 1000;

const ROUNDS: usize = 11;

/// Runs the command, which has to exit with this status.
fn portkeep(words: &[&str], file: &Path, code: i32) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_portkeep"));
    let output = command.args(words).arg(file).output();
    let output = output.expect("start the command");
    assert_eq!(output.status.code(), Some(code), "{words:?}: {output:?}");
}

/// Declares so many entries, each a few ports after the one before.
fn declare(file: &Path, count: u16, first: u16, length: u16, user: &str) {
    let entries = (0..count).map(|index| {
        let start = first + 10 * index;
        let end = start + length - 1;
        format!("\n[[reservation]]\nports = \"{start}-{end}/udp\"\nusers = [\"{user}\"]\n")
    });
    let text = format!("version = 1\n{}", entries.collect::<String>());
    fs::write(file, text).expect("write the file");
    fs::set_permissions(file, fs::Permissions::from_mode(0o644)).expect("chmod");
}

/// Out of the automatic range, and in it.
const OUTSIDE: u16 = 20_000;
const WITHIN: u16 = 35_000;

/// The steps of a round: what is measured, what is declared then, and the exit status.
struct Step {
    what: &'static str,
    count: u16,
    first: u16,
    length: u16,
    user: &'static str,
    words: &'static [&'static str],
    code: i32,
}

const fn step(what: &'static str, count: u16, length: u16, user: &'static str) -> Step {
    Step {
        what,
        count,
        first: OUTSIDE,
        length,
        user,
        words: &["apply"],
        code: 0,
    }
}

const STEPS: [Step; 9] = [
    step("1000 added", MANY, 4, "root"),
    step("nothing, again", MANY, 4, "root"),
    Step {
        words: &["apply", "--check"],
        ..step("nothing, --check", MANY, 4, "root")
    },
    step("1000 with another user", MANY, 4, "65534"),
    step("1000 longer by a port", MANY, 5, "65534"),
    step("1000 shorter by two ports", MANY, 3, "65534"),
    step("1000 removed", 0, 1, "root"),
    Step {
        first: WITHIN,
        ..step("1000 added in the automatic range", MANY, 4, "root")
    },
    Step {
        first: WITHIN,
        ..step("1000 removed from the automatic range", 0, 1, "root")
    },
];

/// Leaves Portkeep removed.
pub fn measure(sandbox: &Sandbox) {
    section("portkeep apply of 1000 reservations: seconds, and processor time");
    enable::enable(sandbox);
    let file: PathBuf = sandbox.state_dir().join("thousand.toml");
    let mut times = STEPS.map(|_| (Vec::new(), Vec::new()));
    for _ in 0..ROUNDS {
        for (step, (elapsed, processor)) in STEPS.iter().zip(&mut times) {
            declare(&file, step.count, step.first, step.length, step.user);
            let mut took = Duration::default();
            processor.push(processor_time_of_children(|| {
                took = time(|| portkeep(step.words, &file, step.code));
            }));
            elapsed.push(took);
        }
    }
    for (step, (elapsed, processor)) in STEPS.iter().zip(times) {
        let (elapsed, processor) = (median(elapsed), median(processor));
        let measured = format!("{elapsed:.0?}, {processor:.0?}");
        report(step.what, measured, "<= 300 ms");
    }
    let one_by_one = processor_time_of_children(|| {
        for index in 0..20 {
            let ports = format!("{}/udp", OUTSIDE + 10 * index);
            portkeep(&["reserve", "--user", "root"], Path::new(&ports), 0);
        }
    });
    let all = one_by_one * u32::from(MANY) / 20;
    report(
        "1000 added one by one, as the first 20: processor time",
        format!("{all:.1?}"),
        "",
    );
    let _ = fs::remove_file(sandbox.state_dir().join("reservations.toml"));
    remove(&enable::installation(sandbox)).expect("remove");
}
