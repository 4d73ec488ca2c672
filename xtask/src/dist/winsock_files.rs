//! The packages of the Winsock library: `portkeep-winsock`, and what compiling with it takes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::architecture::Architecture;
use super::build::{self, Linkage};
use super::package::{Format, Package};
use super::tools::Tools;
use super::tree::Tree;
use super::{Settings, Shared, source, third_party};
use crate::command;

/// All four.
pub fn packages(shared: &Shared<'_>, architecture: Architecture) -> Result<Vec<PathBuf>> {
    let Shared {
        settings, tools, ..
    } = *shared;
    let built = build::build(tools, "portkeep-winsock", architecture, Linkage::Glibc)?;
    let licenses = third_party::write(
        settings,
        tools,
        "portkeep-winsock",
        architecture,
        Linkage::Glibc,
    )?;
    let mut made = Vec::new();
    for format in [Format::Deb, Format::Rpm] {
        let libraries = match format {
            Format::Deb => format!("/usr/lib/{}", architecture.multiarch()),
            Format::Rpm => "/usr/lib64".to_owned(),
        };
        let all = Tree::create(settings.work.join("trees/winsock"))?;
        install(tools, architecture, &built, &all, &libraries)?;
        made.extend(split(
            settings,
            format,
            architecture,
            &all,
            &libraries,
            &shared.kernel_part,
            &licenses,
        )?);
    }
    Ok(made)
}

/// As it is installed from the repository.
fn install(
    tools: &Tools,
    architecture: Architecture,
    built: &Path,
    all: &Tree,
    libraries: &str,
) -> Result<()> {
    command::run(
        Command::new(source("scripts/install-winsock"))
            .arg("/usr")
            .env("PATH", tools.path()?)
            .env("BUILT", built)
            .env("DESTDIR", all.root())
            .env("LIBDIR", libraries)
            // `packaging/static-libs` has linked libelf and zlib in.
            .env("STATIC_NEEDS", "")
            .env("CC", Linkage::Glibc.c_compiler(architecture) + " -g0")
            .env("AR", "python-zig ar"),
    )?;
    // The archive has the debug information of Rust's standard library.
    let archive = all
        .root()
        .join(&libraries[1..])
        .join("libportkeep-winsock.a");
    command::run(
        Command::new(architecture.multiarch() + "-strip")
            .args(["--strip-debug", "--enable-deterministic-archives"])
            .arg(archive),
    )
}

fn split(
    settings: &Settings,
    format: Format,
    architecture: Architecture,
    all: &Tree,
    libraries: &str,
    kernel_part: &Path,
    licenses: &Path,
) -> Result<[PathBuf; 2]> {
    let (development_name, documents) = match format {
        Format::Deb => ("portkeep-winsock-dev", "/usr/share/doc"),
        Format::Rpm => ("portkeep-winsock-devel", "/usr/share/licenses"),
    };
    let mut runtime = Package::new(settings, format, architecture, "portkeep-winsock")?;
    let mut development = Package::new(settings, format, architecture, development_name)?;
    let shared = format!("{libraries}/libportkeep-winsock.so.");
    for file in all.files()? {
        let package = if file.starts_with(&shared) {
            &runtime
        } else {
            &development
        };
        let from = all.root().join(&file[1..]);
        if let Ok(target) = fs::read_link(&from) {
            package.tree.link(&target.to_string_lossy(), &file)?;
        } else {
            package.tree.file(&from, &file, 0o644)?;
        }
    }
    for package in [&runtime, &development] {
        let to = format!("{documents}/{}", package.name);
        package
            .tree
            .compressed(licenses, &format!("{to}/third-party.gz"))?;
        package
            .tree
            .file(kernel_part, &format!("{to}/kernel-part.tar.xz"), 0o644)?;
    }
    let version = format!("{}-{}", env!("CARGO_PKG_VERSION"), settings.revision);
    match format {
        Format::Deb => {
            runtime.depends.push("libc6 (>= 2.17)".to_owned());
            development
                .depends
                .push(format!("portkeep-winsock (= {version})"));
            development.overrides.push(
                "# These are linker scripts, as libm.a is where there is libmvec.\n\
                 portkeep-winsock-dev: unpack-message-for-deb-data ar failed for *"
                    .to_owned(),
            );
            runtime.overrides.push(
                "# The package is named as the project names it; there is one version at a time.\n\
                 portkeep-winsock: package-name-doesnt-match-sonames *"
                    .to_owned(),
            );
        }
        Format::Rpm => {
            runtime.depends.push("glibc >= 2.17".to_owned());
            development
                .depends
                .push(format!("portkeep-winsock = {version}"));
        }
    }
    let finish = |package: &Package| package.finish(settings).context(package.name.clone());
    Ok([finish(&runtime)?, finish(&development)?])
}
