//! The kernel part: C to object with a pinned compiler, object to the committed skeleton.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use libbpf_cargo::SkeletonBuilder;

use crate::{command, root};

/// Other compilers work too, but make another object; CI compares with this one's.
const CLANG: &str = "clang-19";
const STRIP: &str = "llvm-strip-19";

fn skeleton() -> PathBuf {
    root().join("crates/portkeep-kernel/src/skeleton.rs")
}

/// Rebuilds the committed skeleton.
pub fn rebuild() -> Result<()> {
    let fresh = build()?;
    fs::write(skeleton(), fresh).context("writing the skeleton")
}

/// Fails if the committed skeleton is not what a fresh build makes.
pub fn check() -> Result<()> {
    let committed = fs::read_to_string(skeleton()).context("reading the skeleton")?;
    if committed != build()? {
        bail!(
            "{} differs from a fresh build\nHint: run `cargo xtask bpf` and commit the result",
            skeleton().display()
        );
    }
    Ok(())
}

fn build() -> Result<String> {
    let directory = root().join("target/bpf");
    fs::create_dir_all(&directory).context("making target/bpf")?;
    let object = directory.join("portkeep.bpf.o");
    let skeleton = directory.join("skeleton.rs");
    compile(&object)?;
    SkeletonBuilder::new()
        .obj(&object)
        .generate(&skeleton)
        .context("generating the skeleton")?;
    fs::read_to_string(&skeleton).context("reading the fresh skeleton")
}

/// Compiles without the host's headers and without paths of this machine, so that the object is
/// the same everywhere.
fn compile(object: &Path) -> Result<()> {
    let source = root().join("bpf").canonicalize().context("finding bpf/")?;
    let clang = env::var("CLANG").unwrap_or_else(|_| CLANG.into());
    with_hint(
        Command::new(&clang)
            .current_dir(&source)
            .args(["-target", "bpf", "-mcpu=v3", "-O2", "-g", "-nostdinc"])
            .args(["-Wall", "-Wextra", "-Werror", "-Wno-unused-parameter"])
            .args(["-I", "vendor", "-I", "."])
            .arg(format!("-ffile-prefix-map={}=bpf", source.display()))
            .args(["-c", "portkeep.bpf.c", "-o"])
            .arg(object.canonicalize().unwrap_or_else(|_| absolute(object))),
    )?;
    // DWARF is not needed to load; BTF stays.
    with_hint(Command::new(STRIP).arg("-g").arg(object))
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.into())
}

fn with_hint(command: &mut Command) -> Result<()> {
    command::run(command)
        .context("compiling the kernel part\nHint: apt-get install clang-19 llvm-19")
}
