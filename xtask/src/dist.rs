//! What people install, in `target/dist`: `cargo xtask dist`.

mod architecture;
mod bindings;
mod build;
mod command_files;
mod deb;
mod fleet_files;
mod kernel_part;
mod manual;
mod package;
mod program_files;
mod rehearsal;
mod rpm;
mod tarball;
mod third_party;
mod tools;
mod tree;
mod winsock_files;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use clap::ValueEnum;

use crate::{command, root};
use architecture::Architecture;
use build::Linkage;
use manual::Manual;
use package::Format;
use tools::Tools;

/// Builds packages, man pages, completions and static tarballs into target/dist
///
/// Installs by itself what it needs: Zig, from PyPI into target/dist-build, targets of Rust, and
/// Debian's packages. The same commit gives the same bytes.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// What to build
    #[arg(value_enum, default_values_t = Artifact::value_variants().iter().copied())]
    artifacts: Vec<Artifact>,
    /// For which processors
    #[arg(long = "arch", value_enum, default_values_t = Architecture::value_variants().iter().copied())]
    architectures: Vec<Architecture>,
    /// Builds again in another directory with another home of cargo, and compares the bytes
    #[arg(long)]
    check_reproducible: bool,
    /// The revision of the packages
    #[arg(long, default_value_t = 1)]
    revision: u32,
    /// Where to put them
    #[arg(long, value_name = "DIR", default_value = "target/dist")]
    output: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Artifact {
    /// The command for Debian and Ubuntu
    Deb,
    /// The command for Fedora, RHEL and SUSE
    Rpm,
    /// The C library for Debian and Ubuntu, and for Fedora, RHEL and SUSE
    Winsock,
    /// The command without any shared library
    Tarball,
    /// The program of the fleet for Debian and Ubuntu, and for Fedora, RHEL and SUSE
    Fleet,
    /// The packages for Python, Node.js, Go and Java
    Bindings,
}

/// What all artifacts of a run share.
#[derive(Debug)]
pub struct Settings {
    /// Where finished artifacts go.
    pub output: PathBuf,
    /// Where things are put together.
    pub work: PathBuf,
    /// The date of the commit, which all files get, in seconds since 1970.
    pub epoch: String,
    /// The revision of the packages.
    pub revision: u32,
}

/// What the artifacts of all processors share.
struct Shared<'a> {
    settings: &'a Settings,
    tools: &'a Tools,
    /// Of the command.
    manual: Manual,
    /// Of the fleet's program, if it is to be packed.
    fleet_manual: Option<Manual>,
    /// The kernel part's source, which accompanies its object.
    kernel_part: PathBuf,
}

/// A program for a processor, and the licenses of what is linked in.
struct Program {
    name: &'static str,
    architecture: Architecture,
    path: PathBuf,
    licenses: PathBuf,
}

impl Program {
    fn command(shared: &Shared<'_>, architecture: Architecture, linkage: Linkage) -> Result<Self> {
        Self::build(shared, "portkeep-cli", "portkeep", architecture, linkage)
    }

    fn fleet(shared: &Shared<'_>, architecture: Architecture) -> Result<Self> {
        let name = "portkeep-fleet";
        Self::build(shared, name, name, architecture, Linkage::Glibc)
    }

    fn build(
        shared: &Shared<'_>,
        package: &str,
        name: &'static str,
        architecture: Architecture,
        linkage: Linkage,
    ) -> Result<Self> {
        let Shared {
            settings, tools, ..
        } = *shared;
        Ok(Self {
            name,
            architecture,
            path: build::build(tools, package, architecture, linkage)?.join(name),
            licenses: third_party::write(settings, tools, package, architecture, linkage)?,
        })
    }
}

pub fn run(arguments: &Arguments) -> Result<()> {
    let epoch = match std::env::var("SOURCE_DATE_EPOCH") {
        Ok(epoch) => epoch,
        Err(_) => date_of_the_commit()?,
    };
    // For dpkg-deb, rpmbuild and all that they run.
    // The process has one thread here; nothing reads the environment meanwhile.
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o022));
    let output = std::path::absolute(&arguments.output)?;
    let settings = Settings {
        work: std::path::absolute(root().join("target/dist-build"))?,
        output,
        epoch: epoch.trim().to_owned(),
        revision: arguments.revision,
    };
    fs::create_dir_all(&settings.output)
        .with_context(|| format!("making {}", settings.output.display()))?;
    let tools = Tools::set_up(&settings.work, &arguments.architectures)?;
    let made = make(arguments, &settings, &tools)?;
    println!("{:>11}  name", "bytes");
    for path in &made {
        let name = path.strip_prefix(&settings.output).unwrap_or(path);
        println!("{:>11}  {}", fs::metadata(path)?.len(), name.display());
    }
    if arguments.check_reproducible {
        rehearsal::compare(arguments, &settings, &made)?;
    }
    Ok(())
}

fn make(arguments: &Arguments, settings: &Settings, tools: &Tools) -> Result<Vec<PathBuf>> {
    let shared = Shared {
        settings,
        tools,
        manual: manual::write(&settings.output, "portkeep-cli", "portkeep")?,
        fleet_manual: arguments
            .artifacts
            .contains(&Artifact::Fleet)
            .then(|| manual::write(&settings.output, "portkeep-fleet", "portkeep-fleet"))
            .transpose()?,
        kernel_part: kernel_part::pack(settings)?,
    };
    let mut made = Vec::new();
    if arguments.artifacts.contains(&Artifact::Bindings) {
        made.extend(bindings::pack(settings, tools)?);
    }
    for &architecture in &arguments.architectures {
        made.extend(for_processor(&arguments.artifacts, &shared, architecture)?);
    }
    Ok(made)
}

fn for_processor(
    artifacts: &[Artifact],
    shared: &Shared<'_>,
    architecture: Architecture,
) -> Result<Vec<PathBuf>> {
    let wants = |artifact| artifacts.contains(&artifact);
    let mut made = Vec::new();
    let mut formats = vec![(Artifact::Deb, Format::Deb), (Artifact::Rpm, Format::Rpm)];
    formats.retain(|&(artifact, _)| wants(artifact));
    if !formats.is_empty() {
        let program = Program::command(shared, architecture, Linkage::Glibc)?;
        for (_, format) in formats {
            made.push(command_files::package(shared, format, &program)?);
        }
    }
    if let Some(manual) = &shared.fleet_manual {
        let program = Program::fleet(shared, architecture)?;
        for format in [Format::Deb, Format::Rpm] {
            made.push(fleet_files::package(shared, format, &program, manual)?);
        }
    }
    if wants(Artifact::Winsock) {
        made.extend(winsock_files::packages(shared, architecture)?);
    }
    if wants(Artifact::Tarball) || wants(Artifact::Bindings) {
        let program = Program::command(shared, architecture, Linkage::Musl)?;
        if wants(Artifact::Tarball) {
            made.push(tarball::pack(shared, &program)?);
        }
        if wants(Artifact::Bindings) {
            made.push(bindings::wheel(shared, &program)?);
        }
    }
    Ok(made)
}

fn date_of_the_commit() -> Result<String> {
    command::output(
        Command::new("git")
            .current_dir(root())
            .args(["log", "-1", "--format=%ct"]),
    )
    .context("the date of the commit\nHint: outside of a clone set SOURCE_DATE_EPOCH")
}

/// A file of the repository.
fn source(path: &str) -> PathBuf {
    root().join(path)
}

fn packaging(path: impl AsRef<Path>) -> PathBuf {
    root().join("packaging").join(path)
}
