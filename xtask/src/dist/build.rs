//! Builds of the command and of the C library for a processor and a C library, with the same bytes in
//! every directory.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::architecture::Architecture;
use super::source;
use super::tools::Tools;
use crate::{command, root};

/// The C library that is linked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Linkage {
    /// Dynamically, so that names are looked up as the machine is set up to; of a version that every
    /// supported distribution has.
    Glibc,
    /// Statically. It reads names from /etc/passwd and /etc/group only. (A static glibc aborts where
    /// it loads the modules of another version for looking names up.)
    Musl,
}

const GLIBC: &str = "2.17";

impl Linkage {
    /// As rustc names the target.
    pub fn triple(self, architecture: Architecture) -> String {
        match self {
            Self::Glibc => format!("{architecture}-unknown-linux-gnu"),
            Self::Musl => format!("{architecture}-unknown-linux-musl"),
        }
    }

    fn cargo_target(self, architecture: Architecture) -> String {
        match self {
            Self::Glibc => format!("{}.{GLIBC}", self.triple(architecture)),
            Self::Musl => self.triple(architecture),
        }
    }

    /// A C compiler for it, as words.
    pub fn c_compiler(self, architecture: Architecture) -> String {
        let libc = match self {
            Self::Glibc => format!("gnu.{GLIBC}"),
            Self::Musl => "musl".to_owned(),
        };
        format!("python-zig cc -target {architecture}-linux-{libc}")
    }
}

/// Builds a package of the workspace; gives the directory of what it builds.
pub fn build(
    tools: &Tools,
    package: &str,
    architecture: Architecture,
    linkage: Linkage,
) -> Result<PathBuf> {
    println!(
        "building {package} for {}",
        linkage.cargo_target(architecture)
    );
    let top = root().canonicalize().context("finding the repository")?;
    let work = top.join("target/dist-build");
    let libraries = work.join("libs").join(linkage.cargo_target(architecture));
    if !libraries.join("libelf.a").exists() {
        command::run(
            Command::new(source("packaging/static-libs"))
                .arg(&libraries)
                .env("PATH", tools.path()?)
                .env("CC", linkage.c_compiler(architecture))
                .env("AR", "python-zig ar"),
        )?;
    }
    let home = cargo_home()?;
    let real_home = fs::canonicalize(&home).context("finding cargo's home")?;
    let sysroot = command::output(Command::new("rustc").args(["--print", "sysroot"]))?;
    let include = libraries.join("include");
    let c_flags = format!(
        "-g0 -I{} -ffile-prefix-map={}=/cargo",
        include.display(),
        home.display()
    );
    // Paths of this machine would be in the messages of panics.
    let mut flags = [
        (home.as_path(), "/cargo"),
        (real_home.as_path(), "/cargo"),
        (top.as_path(), "/portkeep"),
        (Path::new(sysroot.trim()), "/rust"),
    ]
    .map(|(path, name)| format!("--remap-path-prefix={}={name}", path.display()))
    .to_vec();
    flags.dedup();
    let target = work.join("cargo");
    command::run(
        Command::new(env!("CARGO"))
            .current_dir(&top)
            .args([
                "zigbuild",
                "--quiet",
                "--locked",
                "--release",
                "--features",
                "static",
            ])
            .args(["--package", package, "--target"])
            .arg(linkage.cargo_target(architecture))
            .env("PATH", tools.path()?)
            .env("CARGO_TARGET_DIR", &target)
            .env("RUSTFLAGS", flags.join(" "))
            .env("LIBBPF_SYS_EXTRA_CFLAGS", c_flags)
            .env("LIBBPF_SYS_LIBRARY_PATH", &libraries)
            // The profile of cargo run's own process is none of the build's.
            .env_remove("CARGO_ENCODED_RUSTFLAGS"),
    )?;
    Ok(target.join(linkage.triple(architecture)).join("release"))
}

/// Where cargo keeps the sources of crates, as it names the place itself.
pub fn cargo_home() -> Result<PathBuf> {
    let home = |variable| env::var_os(variable).filter(|path: &OsString| !path.is_empty());
    match (home("CARGO_HOME"), home("HOME")) {
        (Some(path), _) => Ok(PathBuf::from(path)),
        (None, Some(path)) => Ok(PathBuf::from(path).join(".cargo")),
        (None, None) => anyhow::bail!("neither CARGO_HOME nor HOME is set"),
    }
}
