//! A static command with what goes with it, to be unpacked anywhere.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use super::architecture::Architecture;
use super::manual::Manual;
use super::tree::Tree;
use super::{Settings, kernel_part, packaging, source};
use crate::command;

pub fn pack(
    settings: &Settings,
    architecture: Architecture,
    program: &Path,
    manual: &Manual,
    kernel_source: &Path,
    licenses: &Path,
) -> Result<PathBuf> {
    let top = format!("portkeep-{}-{architecture}", env!("CARGO_PKG_VERSION"));
    let tree = Tree::create(settings.work.join("trees").join(&top))?;
    let at = |name: &str| format!("{top}/{name}");
    tree.file(program, &at("portkeep"), 0o755)?;
    for name in [
        "LICENSE",
        "LICENSE-MIT",
        "LICENSE-APACHE",
        "README.md",
        "CHANGELOG.md",
    ] {
        tree.file(&source(name), &at(name), 0o644)?;
    }
    for name in ["portkeep.service", "portkeep.env"] {
        tree.file(&packaging(name), &at(name), 0o644)?;
    }
    tree.file(&kernel_part::license(), &at("LICENSE-GPL"), 0o644)?;
    tree.file(licenses, &at("LICENSES-THIRD-PARTY"), 0o644)?;
    tree.file(kernel_source, &at("kernel-part.tar.xz"), 0o644)?;
    manual.add_pages(&tree, &at("man"))?;
    for name in ["portkeep.bash", "_portkeep", "portkeep.fish"] {
        tree.file(
            &manual.completion(name),
            &at(&format!("completions/{name}")),
            0o644,
        )?;
    }
    let archive = settings.output.join(format!("{top}.tar.gz"));
    command::run(
        Command::new("tar")
            .args(["--sort=name", "--owner=0", "--group=0", "--numeric-owner"])
            .arg(format!("--mtime=@{}", settings.epoch))
            .args(["--create", "--use-compress-program=gzip -9n", "--file"])
            .arg(&archive)
            .arg("--directory")
            .arg(tree.root())
            .arg(&top),
    )?;
    Ok(archive)
}
