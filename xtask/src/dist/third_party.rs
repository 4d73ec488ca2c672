//! The licenses of what is linked into the artifacts: crates, the C libraries in libbpf-sys, musl.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use super::Settings;
use super::architecture::Architecture;
use super::build::Linkage;
use super::tools::Tools;
use crate::{command, root};

/// Directories in the crate libbpf-sys that are libraries of their own, and their licenses in words.
const IN_LIBBPF_SYS: [(&str, &str); 3] = [
    ("libbpf", "LGPL-2.1-only OR BSD-2-Clause"),
    ("elfutils", "libelf: LGPL-3.0-or-later OR GPL-2.0-or-later"),
    ("zlib", "Zlib"),
];

/// Writes the names of all, and each text once.
pub fn write(
    settings: &Settings,
    tools: &Tools,
    package: &str,
    architecture: Architecture,
    linkage: Linkage,
) -> Result<PathBuf> {
    let triple = linkage.triple(architecture);
    let mut text =
        "What is linked in, and its licenses. The Rust standard library is MIT OR Apache-2.0.\n\
         packaging/static-libs and `cargo xtask dist` in the repository link libelf anew.\n\n"
            .to_owned();
    let mut texts: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, license, directory) in crates(package, &triple)? {
        writeln!(text, "{name}: {license}")?;
        collect(&directory, &name, &mut texts)?;
        if name.starts_with("libbpf-sys ") {
            for (library, license) in IN_LIBBPF_SYS {
                writeln!(text, "{library}, in {name}: {license}")?;
                collect(&directory.join(library), library, &mut texts)?;
            }
        }
    }
    if linkage == Linkage::Musl {
        writeln!(text, "musl: MIT")?;
        collect(&tools.zig_libraries()?.join("musl"), "musl", &mut texts)?;
    }
    for (license, names) in &texts {
        write!(
            text,
            "\n{}\n{}:\n\n{}\n",
            "-".repeat(72),
            names.join(", "),
            license.trim_end()
        )?;
    }
    let path = settings
        .work
        .join(format!("third-party-{package}-{triple}"));
    fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
    Ok(path)
}

/// Name with version, license and directory of each crate that is linked, in order.
fn crates(package: &str, triple: &str) -> Result<Vec<(String, String, PathBuf)>> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(root());
    let tree = command::output(
        cargo
            .args(["tree", "--locked", "--edges", "normal", "--prefix", "none"])
            .args(["--format", "{p}", "--features", "static"])
            .args(["--package", package, "--target", triple]),
    )?;
    // As in `libc v0.2.180 (*)`.
    let mut linked: Vec<_> = tree
        .lines()
        .filter_map(|line| line.split_once(" v"))
        .map(|(name, rest)| (name, rest.split(' ').next().unwrap_or_default()))
        .collect();
    linked.sort_unstable();
    linked.dedup();
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(root());
    let metadata = command::output(cargo.args(["metadata", "--locked", "--format-version", "1"]))?;
    let metadata: Value = serde_json::from_str(&metadata).context("reading cargo metadata")?;
    let packages = metadata["packages"].as_array().context("no packages")?;
    let mut found = Vec::new();
    for (name, version) in linked {
        let package = packages
            .iter()
            .find(|it| it["name"] == name && it["version"] == version)
            .with_context(|| format!("cargo metadata has no {name} {version}"))?;
        if package["source"].is_null() {
            continue;
        }
        let manifest = package["manifest_path"].as_str().unwrap_or_default();
        let directory = Path::new(manifest).parent().unwrap_or(Path::new(""));
        let license = package["license"].as_str().unwrap_or("see below");
        found.push((
            format!("{name} {version}"),
            license.to_owned(),
            directory.to_owned(),
        ));
    }
    Ok(found)
}

fn collect(directory: &Path, name: &str, texts: &mut BTreeMap<String, Vec<String>>) -> Result<()> {
    let mut files = fs::read_dir(directory)
        .with_context(|| format!("reading {}", directory.display()))?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<Vec<_>>>()?;
    files.sort();
    let is_license = |path: &&PathBuf| {
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .to_uppercase();
        let starts = ["LICEN", "COPYING", "COPYRIGHT", "NOTICE", "UNLICENSE"];
        path.is_file() && starts.iter().any(|start| name.starts_with(start))
    };
    for file in files.iter().filter(is_license) {
        let text = fs::read(file).with_context(|| format!("reading {}", file.display()))?;
        let text = String::from_utf8_lossy(&text).into_owned();
        texts.entry(text).or_default().push(name.to_owned());
    }
    Ok(())
}
