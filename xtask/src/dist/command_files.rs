//! The package `portkeep`: the command and what goes with it.

use std::path::PathBuf;

use anyhow::Result;

use super::package::{Format, Package};
use super::{Program, Shared, packaging, program_files};

/// Comments and tags.
const OVERRIDES: [&str; 4] = [
    "# An upgrade reloads an active unit and never restarts it; deb-systemd-invoke has no such action.",
    "portkeep: maintainer-script-calls-systemctl *",
    "# It is no libyaml: saphyr-parser, in Rust, has the words of its errors.",
    "portkeep: embedded-library libyaml *",
];

pub fn package(shared: &Shared<'_>, format: Format, program: &Program) -> Result<PathBuf> {
    let settings = shared.settings;
    let mut package = Package::new(settings, format, program.architecture, "portkeep")?;
    program_files::add(shared, &mut package, program, &shared.manual)?;
    let tree = &package.tree;
    let unit = "/usr/lib/systemd/system/portkeep.service";
    tree.file(&packaging("portkeep.service"), unit, 0o644)?;
    let preset = "/etc/portkeep/portkeep.env";
    tree.file(&packaging("portkeep.env"), preset, 0o644)?;
    let declarations = "/etc/portkeep/reservations.d/README";
    tree.file(&packaging("reservations.README"), declarations, 0o644)?;
    let documents = program_files::documents(&package);
    for name in ["service", "socket"] {
        let example = format!("systemd/{name}.d-ports.conf");
        let to = format!("{documents}/examples/{name}.d-ports.conf");
        tree.file(&packaging(&example), &to, 0o644)?;
    }
    package.configuration.push(preset.to_owned());
    package.configuration.push(declarations.to_owned());
    package.overrides = OVERRIDES.map(str::to_owned).to_vec();
    package.finish(settings)
}
