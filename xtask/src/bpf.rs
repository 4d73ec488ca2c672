//! The kernel part: C to object with a pinned compiler, object to skeleton, both committed.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use libbpf_cargo::SkeletonBuilder;

use crate::{command, require_fresh, root};

/// Other compilers work too, but make another object; CI compares with this one's.
const CLANG: &str = "clang-19";
const STRIP: &str = "llvm-strip-19";

const OBJECT: &str = "bpf/portkeep.bpf.o";
const SKELETON: &str = "src/install/skeleton.rs";

/// From the skeleton to the object, as `include_bytes!` takes it.
const OBJECT_FROM_SKELETON: &str = "../../bpf/portkeep.bpf.o";

fn package() -> PathBuf {
    root().join("crates/portkeep-admin")
}

/// What is generated, by its path in the package.
struct Generated {
    object: Vec<u8>,
    skeleton: String,
}

/// Rebuilds the committed object and skeleton.
pub fn rebuild() -> Result<()> {
    let fresh = build()?;
    fs::write(package().join(OBJECT), fresh.object).context("writing the object")?;
    fs::write(package().join(SKELETON), fresh.skeleton).context("writing the skeleton")
}

/// Fails if what is committed is not what a fresh build makes.
pub fn check() -> Result<()> {
    let fresh = build()?;
    require_fresh(&package().join(OBJECT), &fresh.object, "bpf")?;
    require_fresh(&package().join(SKELETON), fresh.skeleton.as_bytes(), "bpf")
}

fn build() -> Result<Generated> {
    let directory = root().join("target/bpf");
    fs::create_dir_all(&directory).context("making target/bpf")?;
    let object = directory.join("portkeep.bpf.o");
    let skeleton = directory.join("skeleton.rs");
    compile(&object)?;
    SkeletonBuilder::new()
        .obj(&object)
        .reference_obj(true)
        .generate(&skeleton)
        .context("generating the skeleton")?;
    let text = fs::read_to_string(&skeleton).context("reading the fresh skeleton")?;
    Ok(Generated {
        object: fs::read(&object).context("reading the fresh object")?,
        skeleton: with_own_path(&text, &object)?,
    })
}

/// The generator names the object by the path that it had here.
fn with_own_path(skeleton: &str, object: &Path) -> Result<String> {
    let path = object.canonicalize().context("finding the fresh object")?;
    let path = path
        .to_str()
        .context("the path of the repository is not UTF-8")?;
    if skeleton.matches(path).count() != 1 {
        bail!("the generator does not name {path} once");
    }
    Ok(skeleton.replace(path, OBJECT_FROM_SKELETON))
}

/// Compiles without the host's headers and without paths of this machine, so that the object is
/// the same everywhere.
fn compile(object: &Path) -> Result<()> {
    let source = package().join("bpf");
    let source = source.canonicalize().context("finding bpf/")?;
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
