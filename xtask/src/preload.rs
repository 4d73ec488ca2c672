//! The library of `portkeep run --preload`, for each architecture, built by a pinned compiler and linker and
//! committed.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::{command, require_fresh, root};

/// Other versions make another file; CI compares with that of these.
const CLANG: &str = "clang-19";
const LINKER: &str = "ld.lld-19";

const ARCHITECTURES: [&str; 2] = ["x86_64", "aarch64"];

fn source() -> PathBuf {
    root().join("crates/portkeep-cli/src/run/supervisor/preload")
}

/// Rebuilds the committed libraries.
pub fn rebuild() -> Result<()> {
    for architecture in ARCHITECTURES {
        let path = source().join(file(architecture));
        fs::write(&path, build(architecture)?)
            .with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(())
}

/// Fails if what is committed is not what a fresh build makes.
pub fn check() -> Result<()> {
    for architecture in ARCHITECTURES {
        let path = source().join(file(architecture));
        require_fresh(&path, &build(architecture)?, "preload")?;
    }
    Ok(())
}

fn file(architecture: &str) -> String {
    format!("bind.{architecture}.so")
}

/// Compiles and links without anything of this machine's.
fn build(architecture: &str) -> Result<Vec<u8>> {
    let directory = root().join("target/preload");
    fs::create_dir_all(&directory).context("making target/preload")?;
    let library = directory.join(file(architecture));
    command::run(
        Command::new(CLANG)
            .current_dir(source())
            .arg(format!("--target={architecture}-linux-gnu"))
            .args(["-std=c11", "-O2", "-Wall", "-Wextra", "-Werror"])
            .args(["-nostdinc", "-ffreestanding", "-fno-builtin", "-fPIC"])
            .args(["-fvisibility=hidden", "-fno-asynchronous-unwind-tables"])
            .args(["-shared", "-nostdlib", &format!("--ld-path={LINKER}")])
            .args(["-Wl,--build-id=none,--hash-style=both,-z,noexecstack,-s"])
            .arg("bind.c")
            .arg("-o")
            .arg(&library),
    )
    .context("building the library of --preload\nHint: apt-get install clang-19 lld-19")?;
    fs::read(&library).context("reading the fresh library")
}
