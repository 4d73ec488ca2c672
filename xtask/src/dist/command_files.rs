//! The package `portkeep`: the command and what goes with it.

use std::path::PathBuf;

use anyhow::Result;

use super::package::{Format, Package};
use super::{Program, Shared, packaging};

/// A comment and a tag.
const OVERRIDES: [&str; 2] = [
    "# An upgrade reloads an active unit and never restarts it; deb-systemd-invoke has no such action.",
    "portkeep: maintainer-script-calls-systemctl *",
];

pub fn package(shared: &Shared<'_>, format: Format, program: &Program) -> Result<PathBuf> {
    let (settings, manual) = (shared.settings, &shared.manual);
    let mut package = Package::new(settings, format, program.architecture, "portkeep")?;
    let tree = &package.tree;
    tree.file(&program.path, "/usr/bin/portkeep", 0o755)?;
    let unit = "/usr/lib/systemd/system/portkeep.service";
    tree.file(&packaging("portkeep.service"), unit, 0o644)?;
    let preset = "/etc/portkeep/portkeep.env";
    tree.file(&packaging("portkeep.env"), preset, 0o644)?;
    let declarations = "/etc/portkeep/reservations.d/README";
    tree.file(&packaging("reservations.README"), declarations, 0o644)?;
    manual.add_pages(tree, "/usr/share/man/man8")?;
    let (zsh, documents) = match format {
        Format::Deb => (
            "/usr/share/zsh/vendor-completions",
            "/usr/share/doc/portkeep",
        ),
        Format::Rpm => (
            "/usr/share/zsh/site-functions",
            "/usr/share/licenses/portkeep",
        ),
    };
    for (name, to) in [
        (
            "portkeep.bash",
            "/usr/share/bash-completion/completions/portkeep",
        ),
        ("_portkeep", &format!("{zsh}/_portkeep")),
        (
            "portkeep.fish",
            "/usr/share/fish/vendor_completions.d/portkeep.fish",
        ),
    ] {
        tree.file(&manual.completion(name), to, 0o644)?;
    }
    tree.compressed(&program.licenses, &format!("{documents}/third-party.gz"))?;
    tree.file(
        &shared.kernel_part,
        &format!("{documents}/kernel-part.tar.xz"),
        0o644,
    )?;
    for name in ["service", "socket"] {
        let example = format!("systemd/{name}.d-ports.conf");
        let to = format!("{documents}/examples/{name}.d-ports.conf");
        tree.file(&packaging(&example), &to, 0o644)?;
    }
    package.configuration.push(preset.to_owned());
    package.configuration.push(declarations.to_owned());
    package.depends.push(match format {
        Format::Deb => "libc6 (>= 2.17)".to_owned(),
        Format::Rpm => "glibc >= 2.17".to_owned(),
    });
    package.overrides = OVERRIDES.map(str::to_owned).to_vec();
    package.finish(settings)
}
