//! The source of the kernel part, which goes with its object under the GPL, and how it is compiled.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use super::tree::Tree;
use super::{Settings, source};
use crate::command;

/// Where it is in the repository.
const DIRECTORY: &str = "bpf";

/// Its license.
pub fn license() -> PathBuf {
    source(DIRECTORY).join("LICENSE-GPL")
}

/// Packs it.
pub fn pack(settings: &Settings) -> Result<PathBuf> {
    let tree = Tree::create(settings.work.join("kernel-part"))?;
    let version = env!("CARGO_PKG_VERSION");
    let top = format!("portkeep-kernel-part-{version}");
    let listed = command::output(
        Command::new("git")
            .current_dir(source(DIRECTORY))
            .args(["ls-files", "-z", "."]),
    )?;
    for file in listed.split_terminator('\0') {
        tree.file(
            &source(DIRECTORY).join(file),
            &format!("{top}/{file}"),
            0o644,
        )?;
    }
    let how = source("xtask/src/bpf.rs");
    tree.file(&how, &format!("{top}/how-it-is-compiled.rs"), 0o644)?;
    let archive = settings.work.join("kernel-part.tar.xz");
    command::run(
        Command::new("tar")
            .args([
                "--sort=name",
                "--owner=0",
                "--group=0",
                "--numeric-owner",
                "--mode=go=rX,u+rw",
            ])
            .arg(format!("--mtime=@{}", settings.epoch))
            .args(["--create", "--use-compress-program=xz -9 -T1", "--file"])
            .arg(&archive)
            .arg("--directory")
            .arg(tree.root())
            .arg(top),
    )?;
    Ok(archive)
}
