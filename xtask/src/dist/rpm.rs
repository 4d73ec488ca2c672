//! RPM packages, by rpmbuild.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::package::Package;
use super::{Settings, kernel_part, packaging, source};
use crate::command;

const LICENSE: &str = "(MIT OR Apache-2.0) AND GPL-2.0-only";

pub fn build(settings: &Settings, package: &Package) -> Result<PathBuf> {
    let tree = &package.tree;
    let licenses = format!("/usr/share/licenses/{}", package.name);
    for name in ["LICENSE-MIT", "LICENSE-APACHE"] {
        tree.file(&source(name), &format!("{licenses}/{name}"), 0o644)?;
    }
    tree.file(
        &kernel_part::license(),
        &format!("{licenses}/LICENSE-GPL"),
        0o644,
    )?;
    tree.date(&settings.epoch)?;

    let top = settings.work.join("rpmbuild");
    fs::create_dir_all(&top).context("making a directory for rpmbuild")?;
    let spec = top.join(format!("{}.spec", package.name));
    fs::write(&spec, self::spec(settings, package)?).context("writing a spec file")?;
    let file = format!(
        "{}-{}-{}.{}.rpm",
        package.name,
        env!("CARGO_PKG_VERSION"),
        settings.revision,
        package.architecture
    );
    let define = |name: &str, value: &str| ["--define".to_owned(), format!("{name} {value}")];
    let definitions = [
        define("_topdir", &top.display().to_string()),
        define("_rpmdir", &settings.output.display().to_string()),
        define("_rpmfilename", "%{NAME}-%{VERSION}-%{RELEASE}.%{ARCH}.rpm"),
        // The same bytes for the same files.
        define("use_source_date_epoch_as_buildtime", "1"),
        define("clamp_mtime_to_source_date_epoch", "1"),
        define("_buildhost", "reproducible"),
        define("_binary_payload", "w19.zstdio"),
        // Files are taken as they are: stripped, compressed and checked.
        define("__os_install_post", "%{nil}"),
        define("_build_id_links", "none"),
        define("debug_package", "%{nil}"),
    ];
    command::run(
        Command::new("rpmbuild")
            .args(["--quiet", "-bb", "--target"])
            .arg(format!("{}-linux", package.architecture))
            .args(definitions.as_flattened())
            .arg(&spec)
            .env("SOURCE_DATE_EPOCH", &settings.epoch),
    )?;
    Ok(settings.output.join(file))
}

fn spec(settings: &Settings, package: &Package) -> Result<String> {
    let control = package.control()?;
    let (_, description) = control
        .split_once("Description: ")
        .context("a control file without a description")?;
    let (summary, description) = description.split_once('\n').unwrap_or((description, ""));
    let mut capital = summary.chars();
    let first = capital.next().map(|it| it.to_ascii_uppercase());
    let summary: String = first.into_iter().chain(capital).collect();

    let mut spec = format!(
        "Name: {}\nVersion: {}\nRelease: {}\nSummary: {summary}\nLicense: {LICENSE}\nURL: {}\n",
        package.name,
        env!("CARGO_PKG_VERSION"),
        settings.revision,
        env!("CARGO_PKG_REPOSITORY"),
    );
    for depends in &package.depends {
        writeln!(spec, "Requires: {depends}")?;
    }
    spec += "%description\n";
    for line in description.lines() {
        writeln!(spec, "{}", line.trim_start())?;
    }
    writeln!(
        spec,
        "%install\nmkdir -p %{{buildroot}}\ncp -a {}/. %{{buildroot}}/",
        package.tree.root().display()
    )?;
    let scripts = packaging(format!("rpm/{}.scripts", package.name));
    if scripts.exists() {
        spec += &fs::read_to_string(scripts).context("reading the scripts of a package")?;
    }
    spec += "%files\n%defattr(-,root,root)\n";
    for file in package.tree.files()? {
        let kind = if package.configuration.contains(&file) {
            "%config(noreplace) "
        } else if file.starts_with("/usr/share/licenses/") {
            "%license "
        } else if file.starts_with("/usr/share/man/") || file.starts_with("/usr/share/doc/") {
            "%doc "
        } else {
            ""
        };
        writeln!(spec, "{kind}{file}")?;
    }
    for directory in owned_directories(&package.tree.files()?) {
        writeln!(spec, "%dir {directory}")?;
    }
    // An entry with the date, which is what all dates of the package follow.
    let date = command::output(Command::new("date").env("LC_ALL", "C").args([
        "-u",
        "+%a %b %d %Y",
        "-d",
        &format!("@{}", settings.epoch),
    ]))?;
    writeln!(
        spec,
        "%changelog\n* {} The Portkeep developers - {}-{}\n- Release",
        date.trim(),
        env!("CARGO_PKG_VERSION"),
        settings.revision
    )?;
    Ok(spec)
}

/// Those that no other package has, to be removed with this one; also those that only have directories.
fn owned_directories(files: &[String]) -> BTreeSet<String> {
    let ancestors = files
        .iter()
        .flat_map(|file| Path::new(file).ancestors().skip(1));
    ancestors
        .map(|directory| directory.display().to_string())
        .filter(|directory| directory.contains("portkeep"))
        .collect()
}
