//! Debian's kernels, downloaded and unpacked but not installed.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::command;

/// Modules that the `portkeep` command has the kernel load by itself on an ordinary machine, each
/// after those that it depends on.
const MODULES: [&str; 3] = ["inet_diag", "tcp_diag", "udp_diag"];

/// A kernel package, unpacked.
#[derive(Debug)]
pub struct Kernel {
    package: String,
    directory: PathBuf,
}

impl fmt::Display for Kernel {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.package)
    }
}

impl Kernel {
    /// The newest kernel of a series such as 6.1, below `cache`. The flavour for clouds is a third
    /// of the size of the general one; what Portkeep uses is the same.
    pub fn newest(series: &str, cache: &Path) -> Result<Self> {
        let prefix = format!("linux-image-{series}.");
        let names = command::output(Command::new("apt-cache").args(["pkgnames", &prefix]))?;
        let package = names
            .lines()
            .filter(|name| name.ends_with("-cloud-amd64"))
            .max_by_key(|name| numbers(name))
            .with_context(|| {
                format!(
                    "apt-get knows no package {prefix}*-cloud-amd64\nHint: add a release of Debian \
                     that has it to /etc/apt/sources.list.d, and run apt-get update"
                )
            })?
            .to_owned();
        let directory = cache.join(&package);
        if !directory.exists() {
            unpack(&package, cache, &directory)?;
        }
        Ok(Self { package, directory })
    }

    /// The compressed kernel that a boot loader takes.
    pub fn image(&self) -> Result<PathBuf> {
        find(&self.directory.join("boot"), &|name| {
            name.starts_with("vmlinuz-")
        })?
        .with_context(|| format!("{self} has no kernel"))
    }

    /// The modules to load, in order: those that Portkeep needs, and others if there are any.
    pub fn modules(&self, others: &[String]) -> Result<Vec<PathBuf>> {
        let mut modules = Vec::new();
        for name in MODULES {
            self.add_module(name, &mut modules)?
                .with_context(|| format!("{self} has no module {name}"))?;
        }
        for name in others {
            if self.add_module(name, &mut modules)?.is_none() {
                println!("-- {self} has no module {name}");
            }
        }
        Ok(modules)
    }

    /// Adds one after those that it depends on; `None` if it is not there, as where it is built in.
    fn add_module(&self, name: &str, modules: &mut Vec<PathBuf>) -> Result<Option<()>> {
        // Names of files may have the one where names of modules have the other.
        let names = [name.to_owned(), name.replace('_', "-")];
        let is_module = |file: &str| {
            let (name, rest) = file.split_once(".ko").unwrap_or_default();
            names.iter().any(|it| it == name) && ["", ".xz"].contains(&rest)
        };
        let Some(path) = find(&self.directory, &is_module)? else {
            return Ok(None);
        };
        if modules.contains(&path) {
            return Ok(Some(()));
        }
        for needed in needed_by(&path)? {
            let needed = needed.as_str();
            self.add_module(needed, modules)?
                .with_context(|| format!("{self} has no module {needed}, which {name} needs"))?;
        }
        modules.push(path);
        Ok(Some(()))
    }
}

/// The modules that a module depends on, from its section .modinfo.
fn needed_by(module: &Path) -> Result<Vec<String>> {
    const NAME: &[u8] = b"\0depends=";
    let mut content = fs::read(module).with_context(|| format!("reading {}", module.display()))?;
    if module.extension().is_some_and(|it| it == "xz") {
        let output = Command::new("busybox").arg("xzcat").arg(module).output();
        content = output.context("running busybox")?.stdout;
    }
    let start = content.windows(NAME.len()).position(|it| it == NAME);
    let value = start.map_or(&[][..], |start| &content[start + NAME.len()..]);
    let value = value.split(|byte| *byte == 0).next().unwrap_or_default();
    let names = String::from_utf8_lossy(value);
    let names = names.split(',').filter(|it| !it.is_empty());
    Ok(names.map(str::to_owned).collect())
}

/// The numbers in a package's name, which order versions as long as the words between are the same.
fn numbers(name: &str) -> Vec<u64> {
    name.split(|character: char| !character.is_ascii_digit())
        .filter_map(|digits| digits.parse().ok())
        .collect()
}

/// Puts the files of a package at `directory`, or nothing.
fn unpack(package: &str, cache: &Path, directory: &Path) -> Result<()> {
    let download = cache.join(format!("{package}.download"));
    // What an interrupted run left.
    let _ = fs::remove_dir_all(&download);
    fs::create_dir(&download).with_context(|| format!("making {}", download.display()))?;
    command::run(
        Command::new("apt-get")
            .current_dir(&download)
            // Root's downloads are else made by another user, who may not write there.
            .args([
                "download",
                "--quiet",
                "-o",
                "APT::Sandbox::User=root",
                package,
            ]),
    )
    .context("downloading a kernel\nHint: apt-get update")?;
    let Some(archive) = find(&download, &|name| name.ends_with(".deb"))? else {
        bail!("apt-get has downloaded no package");
    };
    let files = download.join("files");
    command::run(Command::new("dpkg").arg("-x").arg(archive).arg(&files))?;
    fs::rename(&files, directory)
        .with_context(|| format!("moving files to {}", directory.display()))?;
    fs::remove_dir_all(&download).with_context(|| format!("removing {}", download.display()))
}

/// A file in `directory` or below whose name is accepted.
fn find(directory: &Path, accept: &dyn Fn(&str) -> bool) -> Result<Option<PathBuf>> {
    let entries =
        fs::read_dir(directory).with_context(|| format!("reading {}", directory.display()))?;
    for entry in entries {
        let entry = entry?;
        let found = if entry.file_type()?.is_dir() {
            find(&entry.path(), accept)?
        } else {
            entry
                .file_name()
                .to_str()
                .is_some_and(accept)
                .then(|| entry.path())
        };
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::numbers;

    #[test]
    fn versions_are_ordered_as_numbers() {
        let name = |version| numbers(&format!("linux-image-{version}-cloud-amd64"));
        assert!(name("6.1.0-9") < name("6.1.0-56"));
        assert!(name("6.12.9+deb12") < name("6.12.117+deb12"));
    }
}
