//! Debian packages, by dpkg-deb.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::package::Package;
use super::{Settings, packaging, source};
use crate::command;

/// A placeholder until there is a list.
const MAINTAINER: &str = "The Portkeep developers <portkeep@example.org>";

const SCRIPTS: [(&str, u32); 4] = [
    ("postinst", 0o755),
    ("prerm", 0o755),
    ("postrm", 0o755),
    ("triggers", 0o644),
];

pub fn build(settings: &Settings, package: &Package) -> Result<PathBuf> {
    let (name, tree) = (&package.name, &package.tree);
    let version = format!("{}-{}", env!("CARGO_PKG_VERSION"), settings.revision);
    let documents = format!("/usr/share/doc/{name}");
    tree.text(&copyright()?, &format!("{documents}/copyright"), 0o644)?;
    tree.compressed(
        &source("CHANGELOG.md"),
        &format!("{documents}/changelog.gz"),
    )?;
    changelog(settings, package, &version)?;
    if !package.overrides.is_empty() {
        let lines: String = package
            .overrides
            .iter()
            .map(|line| format!("{line}\n"))
            .collect();
        tree.text(
            &lines,
            &format!("/usr/share/lintian/overrides/{name}"),
            0o644,
        )?;
    }

    // Before there is a directory DEBIAN, which is no part of what is installed.
    let sums = sums(tree.root(), &tree.files()?)?;
    let size = installed_size(tree.root())?;
    let configuration: String = package
        .configuration
        .iter()
        .map(|it| format!("{it}\n"))
        .collect();
    if !configuration.is_empty() {
        tree.text(&configuration, "DEBIAN/conffiles", 0o644)?;
    }
    tree.text(&sums, "DEBIAN/md5sums", 0o644)?;
    tree.text(&control(package, &version, &size)?, "DEBIAN/control", 0o644)?;
    for (script, mode) in SCRIPTS {
        let from = packaging(format!("deb/{name}.{script}"));
        if from.exists() {
            tree.file(&from, &format!("DEBIAN/{script}"), mode)?;
        }
    }
    tree.date(&settings.epoch)?;
    let file = format!("{name}_{version}_{}.deb", package.architecture.debian());
    let output = settings.output.join(file);
    command::run(
        Command::new("dpkg-deb")
            .env("SOURCE_DATE_EPOCH", &settings.epoch)
            // Several threads would cut the compressed data elsewhere.
            .args(["--root-owner-group", "-Zxz", "--threads-max=1", "--build"])
            .arg(tree.root())
            .arg(&output)
            .stdout(std::process::Stdio::null()),
    )?;
    Ok(output)
}

/// Debian has the texts of Apache-2.0 and the GPL; a package refers to them.
fn copyright() -> Result<String> {
    let head = fs::read_to_string(packaging("deb/copyright")).context("reading copyright")?;
    let mit = fs::read_to_string(source("LICENSE-MIT")).context("reading LICENSE-MIT")?;
    let mit: String = mit
        .lines()
        .map(|line| {
            if line.is_empty() {
                " .\n".to_owned()
            } else {
                format!(" {line}\n")
            }
        })
        .collect();
    let common = |name: &str, file: &str| {
        format!(
            "\nLicense: {name}\n On Debian systems, the full text of this license is in\n \
             /usr/share/common-licenses/{file}.\n"
        )
    };
    Ok(format!(
        "{head}License: Expat\n{mit}{}{}",
        common("Apache-2.0", "Apache-2.0"),
        common("GPL-2", "GPL-2")
    ))
}

fn changelog(settings: &Settings, package: &Package, version: &str) -> Result<()> {
    let date =
        command::output(Command::new("date").args(["-Ru", "-d", &format!("@{}", settings.epoch)]))?;
    let text = format!(
        "{} ({version}) unstable; urgency=medium\n\n  * Release; changelog.gz says what is new.\n\n \
         -- {MAINTAINER}  {date}",
        package.name
    );
    let plain = settings.work.join("changelog.Debian");
    fs::write(&plain, text).context("writing a changelog")?;
    let to = format!("/usr/share/doc/{}/changelog.Debian.gz", package.name);
    package.tree.compressed(&plain, &to)
}

fn sums(root: &Path, files: &[String]) -> Result<String> {
    let regular = files
        .iter()
        .map(|file| file.trim_start_matches('/'))
        .filter(|file| !root.join(file).is_symlink());
    command::output(Command::new("md5sum").current_dir(root).args(regular))
}

/// In KiB.
fn installed_size(root: &Path) -> Result<String> {
    let listed = command::output(
        Command::new("du")
            .args(["-sk", "--apparent-size"])
            .arg(root),
    )?;
    Ok(listed.split_whitespace().next().unwrap_or("0").to_owned())
}

fn control(package: &Package, version: &str, size: &str) -> Result<String> {
    let depends = match package.depends.as_slice() {
        [] => String::new(),
        depends => format!("Depends: {}\n", depends.join(", ")),
    };
    Ok(format!(
        "Package: {}\nVersion: {version}\nArchitecture: {}\nMaintainer: {MAINTAINER}\n\
         Installed-Size: {size}\n{depends}Priority: optional\nHomepage: {}\n{}",
        package.name,
        package.architecture.debian(),
        env!("CARGO_PKG_REPOSITORY"),
        package.control()?
    ))
}
