//! The package `portkeep-fleet`: the program of the fleet, the units of its agent and its steward, and the scripts
//! for Slurm as examples.

use std::path::PathBuf;

use anyhow::Result;

use super::manual::Manual;
use super::package::{Format, Package};
use super::{Program, Shared, packaging, program_files};

const UNITS: [&str; 2] = ["portkeep-fleet.service", "portkeep-steward.service"];

const FOR_SLURM: [&str; 3] = ["prologctl", "taskprolog", "epilogctl"];

/// A comment and a tag.
const OVERRIDES: [&str; 2] = [
    "# As in the package portkeep: only where systemd runs, and it does the same on Fedora.",
    "portkeep-fleet: maintainer-script-calls-systemctl *",
];

pub fn package(
    shared: &Shared<'_>,
    format: Format,
    program: &Program,
    manual: &Manual,
) -> Result<PathBuf> {
    let settings = shared.settings;
    let mut package = Package::new(settings, format, program.architecture, "portkeep-fleet")?;
    program_files::add(shared, &mut package, program, manual)?;
    for unit in UNITS {
        let to = format!("/usr/lib/systemd/system/{unit}");
        package.tree.file(&packaging(unit), &to, 0o644)?;
    }
    let documents = program_files::documents(&package);
    for script in FOR_SLURM {
        let to = format!("{documents}/examples/slurm/{script}");
        let from = packaging("slurm").join(script);
        package.tree.file(&from, &to, 0o755)?;
    }
    // Both know the store, whose format they have in common.
    let version = format!("{}-{}", env!("CARGO_PKG_VERSION"), settings.revision);
    package.depends.push(match format {
        Format::Deb => format!("portkeep (>= {version})"),
        Format::Rpm => format!("portkeep >= {version}"),
    });
    package.overrides = OVERRIDES.map(str::to_owned).to_vec();
    package.finish(settings)
}
