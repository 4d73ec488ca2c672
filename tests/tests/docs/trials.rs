//! Tests that the documentation names, as `TARGET::MODULE::TEST`.

use std::fs;
use std::path::PathBuf;

use crate::pages::{self, repository};

/// Directories with test targets.
const TARGETS: [&str; 4] = [
    "tests/tests",
    "crates/portkeep-cli/tests",
    "crates/portkeep-admin/tests",
    "crates/portkeep-fleet/tests",
];

/// The files that list the trials of a target. Two packages may have one of the same name.
fn lists(target: &str) -> Vec<PathBuf> {
    TARGETS
        .iter()
        .map(|directory| repository().join(directory).join(target))
        .flat_map(|path| [path.join("main.rs"), path.with_extension("rs")])
        .filter(|path| path.exists())
        .collect()
}

/// Whether a target lists a trial.
fn exists(name: &str) -> bool {
    let Some((target, trial)) = name.split_once("::") else {
        return false;
    };
    lists(target).iter().any(|path| {
        let text = fs::read_to_string(path).expect("read a list of trials");
        text.lines().any(|line| {
            let line = line.trim().trim_end_matches([',', ';']);
            let name = line.split(" =>").next().unwrap_or_default();
            name == trial
        })
    })
}

/// Code that looks like the name of a trial.
fn names(text: &str) -> impl Iterator<Item = &str> {
    let is_name = |code: &&str| {
        code.contains("::")
            && code
                .chars()
                .all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || "_:".contains(it))
    };
    text.split('`').skip(1).step_by(2).filter(is_name)
}

pub(crate) fn that_are_named_exist() {
    let mut count = 0;
    for page in pages::all() {
        let shown = ["docs/threat-model.md", "docs/winsock.md", "CONTRIBUTING.md"]
            .iter()
            .any(|path| page.path.ends_with(path));
        for name in names(&page.text).filter(|_| shown) {
            count += 1;
            assert!(exists(name), "{} names {name}", page.path.display());
        }
    }
    assert!(count > 40, "{count} names");
}

pub(crate) fn one_that_does_not_exist_is_noticed() {
    assert!(exists("privilege::pins::cannot_be_opened"));
    for name in [
        "privilege::pins::can_be_opened",
        "privilege::pins",
        "nowhere::pins::cannot_be_opened",
        "pins",
    ] {
        assert!(!exists(name), "{name}");
    }
}
