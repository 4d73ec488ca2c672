//! A static command with what goes with it, to be unpacked anywhere.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use super::tree::Tree;
use super::{Program, Shared, kernel_part, packaging, source};
use crate::command;

pub fn pack(shared: &Shared<'_>, program: &Program) -> Result<PathBuf> {
    let (settings, manual) = (shared.settings, &shared.manual);
    let top = format!(
        "portkeep-{}-{}",
        env!("CARGO_PKG_VERSION"),
        program.architecture
    );
    let tree = Tree::create(settings.work.join("trees").join(&top))?;
    let at = |name: &str| format!("{top}/{name}");
    tree.file(&program.path, &at("portkeep"), 0o755)?;
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
    tree.file(&program.licenses, &at("LICENSES-THIRD-PARTY"), 0o644)?;
    tree.file(&shared.kernel_part, &at("kernel-part.tar.xz"), 0o644)?;
    manual.add_pages(&tree, &at("man"))?;
    for completion in manual.completions() {
        let name = completion.file_name().unwrap_or_default().display();
        tree.file(&completion, &at(&format!("completions/{name}")), 0o644)?;
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
