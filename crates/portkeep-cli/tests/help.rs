//! `--help` of every command, compared with `tests/help.txt`.
//!
//! After a change that is meant: `PORTKEEP_WRITE_HELP=1 cargo test --test help`, and read the diff.

mod common;

use std::fs;
use std::path::Path;
use std::process::Command;

use portkeep_tests::trials;

use common::{done, misused, outcome, portkeep};

trials! {
    plain:
        the_help_is_as_recorded,
        every_command_is_recorded,
        the_short_help_has_the_same_options,
        what_the_design_promises_is_there,
        the_version_is_the_packages,
        wrong_usage;
}

const COMMANDS: &[&str] = &[
    "enable",
    "disable",
    "status",
    "run",
    "hold",
    "serve",
    "ls",
    "map",
    "why",
    "watch",
    "reserve",
    "unreserve",
    "exclude",
    "include",
    "apply",
    "doctor",
    "metrics",
];

/// The help in the width that it has in a wide terminal.
fn help(words: &[&str]) -> String {
    let mut command: Command = portkeep(words);
    for variable in ["PORTKEEP_CGROUP", "PORTKEEP_BPFFS", "PORTKEEP_STATE_DIR"] {
        command.env_remove(variable);
    }
    done(command.env("COLUMNS", "100"))
}

fn the_help_is_as_recorded() {
    let mut text = format!("$ portkeep --help\n{}", help(&["--help"]));
    for name in COMMANDS {
        text += &format!("\n$ portkeep {name} --help\n{}", help(&[name, "--help"]));
    }
    // Clap indents the empty lines between paragraphs.
    let text: String = text
        .lines()
        .map(|line| format!("{}\n", line.trim_end()))
        .collect();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/help.txt");
    if std::env::var_os("PORTKEEP_WRITE_HELP").is_some() {
        fs::write(&path, &text).expect("write the help");
    }
    let recorded = fs::read_to_string(&path).expect("read the help");
    for (number, (line, recorded)) in text.lines().zip(recorded.lines()).enumerate() {
        assert_eq!(line, recorded, "line {} of tests/help.txt", number + 1);
    }
    assert_eq!(text.len(), recorded.len(), "the length of tests/help.txt");
}

/// The names in the list of commands.
fn listed() -> Vec<String> {
    let text = help(&["--help"]);
    let commands = text.lines().skip_while(|line| *line != "Commands:").skip(1);
    commands
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.split_whitespace().next().map(str::to_owned))
        .filter(|name| name != "help")
        .collect()
}

fn every_command_is_recorded() {
    assert_eq!(listed(), COMMANDS);
}

/// The long options that a help text explains.
fn options(text: &str) -> Vec<&str> {
    // Indented, unlike a line of a paragraph that happens to start with one.
    let lines = text.lines().filter_map(|line| line.strip_prefix("  "));
    let lines = lines.map(|line| line.trim_start().trim_start_matches("-h, "));
    lines
        .filter(|line| line.starts_with("--"))
        .filter_map(|line| line.split_whitespace().next())
        // The second line of aliases, in brackets.
        .filter(|word| !word.ends_with([']', ',']))
        .collect()
}

fn the_short_help_has_the_same_options() {
    for name in COMMANDS {
        let (long, short) = (help(&[name, "--help"]), help(&[name, "-h"]));
        assert_eq!(options(&short), options(&long), "{name}");
        assert!(options(&long).contains(&"--help"), "{long}");
        assert_eq!(help(&["help", name]), long);
    }
}

fn what_the_design_promises_is_there() {
    for (name, promised) in [
        (
            "enable",
            &["--pool <A-B>", "61000-65535", "--control <CGROUP>"][..],
        ),
        ("disable", &[]),
        ("status", &["--json"]),
        (
            "run",
            &[
                "--tcp <[NAME=]N|A-B>",
                "--udp <[NAME=]N|A-B>",
                "--both <[NAME=]N|A-B>",
                "--name <NAME>",
                "--wait[=<SECONDS>]",
                "--quiet",
                "[--] COMMAND",
                "PORT ",
                "PORTKEEP_TCP",
                "PORTKEEP_UDP",
            ],
        ),
        (
            "hold",
            &["--tcp <[NAME=]N|A-B>", "--wait[=<SECONDS>]", "--json"],
        ),
        (
            "ls",
            &["--json", "--user <USER>", "--columns <COLUMN>", "NO_COLOR"],
        ),
        ("why", &["<PORT[/tcp|/udp]>", "--json"]),
        (
            "watch",
            &["--refusals", "--port <PORT|A-B>", "--user <USER>", "--json"],
        ),
        ("map", &["[PORT|A-B]", "--svg <FILE>", "--ascii"]),
        ("metrics", &["--textfile <FILE>"]),
        (
            "reserve",
            &[
                "[A-B/tcp|udp|both]",
                "--from <FILE>",
                "--unit <NAME.service>",
                "--user <USER>",
                "--group <GROUP>",
                "--cgroup <CGROUP>",
                "--comment <TEXT>",
                "--count <N>",
                "--align <K>",
                "--every-netns",
            ],
        ),
        ("unreserve", &["<A-B/tcp|udp|both>"]),
        (
            "exclude",
            &[
                "[A-B/tcp|udp|both]",
                "--compose <FILE>",
                "--preset <NAME>",
                "--comment <TEXT>",
                "--every-netns",
            ],
        ),
        ("include", &["<A-B/tcp|udp|both>"]),
        ("apply", &["[FILE|DIR]", "--check", "--dry-run", "--json"]),
        ("doctor", &["--json"]),
    ] {
        let text = help(&[name, "--help"]);
        let of_netns =
            !["enable", "disable", "status", "apply", "doctor", "metrics"].contains(&name);
        assert_eq!(text.contains("--netns <PATH|NAME|PID>"), of_netns, "{name}");
        let everywhere = [
            "--cgroup",
            "--bpffs",
            "--state-dir",
            "PORTKEEP_CGROUP",
            "PORTKEEP_BPFFS",
            "PORTKEEP_STATE_DIR",
        ];
        for words in promised.iter().chain(&everywhere) {
            assert!(
                text.contains(words),
                "{name} --help lacks {words:?}:\n{text}"
            );
        }
        assert!(text.contains(&format!("Usage: portkeep {name} ")), "{text}");
    }
    assert!(help(&["--help"]).contains("Exit status: 0 done, 1 refused"));
}

fn the_version_is_the_packages() {
    let version = done(&mut portkeep(["--version"]));
    assert_eq!(
        version,
        concat!("portkeep ", env!("CARGO_PKG_VERSION"), "\n")
    );
}

fn wrong_usage() {
    misused(&["unknown"]);
    misused(&["--unknown", "ls"]);
    misused(&["--bpffs"]);
    // Without any word the help is the answer, on standard error.
    let outcome = outcome(&mut portkeep([] as [&str; 0]));
    assert_eq!(outcome.code, Some(2), "{outcome:?}");
    assert!(outcome.stderr.contains("Usage: portkeep"), "{outcome:?}");
}
