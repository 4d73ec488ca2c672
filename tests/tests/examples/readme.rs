//! The commands of `examples/README.md`.

use std::fs;
use std::path::{Path, PathBuf};

/// The root of the repository.
pub(crate) fn repository() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().expect("tests/ is in the repository").into()
}

/// The command in the table row of an example.
#[track_caller]
pub(crate) fn command(example: &str) -> String {
    let readme = fs::read_to_string(repository().join("examples/README.md"))
        .expect("read examples/README.md");
    find_command(&readme, example)
        .unwrap_or_else(|| panic!("examples/README.md has no command for {example}"))
        .into()
}

fn find_command<'a>(readme: &'a str, example: &str) -> Option<&'a str> {
    let start = format!("| [{example}](");
    let row = readme.lines().find(|line| line.starts_with(&start))?;
    row.strip_suffix("` |")?
        .rsplit_once("| `")
        .map(|(_, command)| command)
}

/// Every source below `examples/` has its row.
pub(crate) fn every_example_has_a_command() {
    let examples = repository().join("examples");
    let mut count = 0;
    for entry in fs::read_dir(&examples).expect("read examples/") {
        let language = entry.expect("read examples/").path();
        if !language.is_dir() {
            continue;
        }
        for source in fs::read_dir(&language).expect("read an example's directory") {
            let source = source.expect("read an example's directory").path();
            if source.extension().is_some() {
                let example = source.strip_prefix(&examples).expect("it is below");
                command(&example.display().to_string());
                count += 1;
            }
        }
    }
    assert!(count >= 3, "{count} examples in {}", examples.display());
}
