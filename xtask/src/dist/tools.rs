//! Zig, which compiles and links for any C library and processor, and the targets of Rust.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::architecture::Architecture;
use super::build::Linkage;
use super::source;
use crate::command;

/// From PyPI. The bytes of the artifacts depend on them.
const PACKAGES: [&str; 2] = ["ziglang==0.17.1", "cargo-zigbuild==0.24.1"];

/// Where they are installed.
#[derive(Debug)]
pub struct Tools {
    work: PathBuf,
}

impl Tools {
    /// Installs what is missing.
    pub fn set_up(work: &Path, architectures: &[Architecture]) -> Result<Self> {
        command::run(Command::new(source("scripts/set-up")).arg("dist"))?;
        let tools = Self {
            work: work.to_owned(),
        };
        let installed = tools.venv().join("installed");
        if fs::read_to_string(&installed).ok().as_deref() != Some(&*PACKAGES.join(" ")) {
            command::run(
                Command::new("python3")
                    .args(["-m", "venv", "--clear"])
                    .arg(tools.venv()),
            )?;
            command::run(
                Command::new(tools.venv().join("bin/pip"))
                    .args(["install", "--quiet"])
                    .args(PACKAGES),
            )?;
            fs::write(&installed, PACKAGES.join(" ")).context("noting what is installed")?;
        }
        // Without rustup, as in a distribution's Rust, the targets have to be there.
        let has_rustup = Command::new("rustup").arg("--version").output().is_ok();
        if has_rustup {
            let targets = architectures.iter().flat_map(|&architecture| {
                [Linkage::Glibc, Linkage::Musl].map(|linkage| linkage.triple(architecture))
            });
            command::run(
                Command::new("rustup")
                    .args(["--quiet", "target", "add"])
                    .args(targets),
            )?;
        }
        Ok(tools)
    }

    pub fn venv(&self) -> PathBuf {
        self.work.join("venv")
    }

    /// Where Zig keeps the C libraries that it links.
    pub fn zig_libraries(&self) -> Result<PathBuf> {
        let script = "import os, ziglang; print(os.path.dirname(ziglang.__file__))";
        let directory =
            command::output(Command::new(self.venv().join("bin/python")).args(["-c", script]))?;
        Ok(Path::new(directory.trim()).join("lib/libc"))
    }

    /// The search path with Zig and cargo-zigbuild first.
    pub fn path(&self) -> Result<OsString> {
        let before = env::var_os("PATH").unwrap_or_default();
        let directories = [self.venv().join("bin")];
        let all = directories.into_iter().chain(env::split_paths(&before));
        env::join_paths(all).context("the path of the repository has a colon")
    }
}
