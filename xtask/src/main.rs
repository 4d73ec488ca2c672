//! What developers run: `cargo xtask --help` lists it.

mod api;
mod benchmarks;
mod bpf;
mod command;
mod dist;
mod kernels;
mod preload;
mod verified;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use clap::Parser;

/// What developers of Portkeep run
#[derive(Debug, Parser)]
#[command(name = "cargo xtask")]
enum Task {
    /// Rebuilds the committed BPF skeleton
    Bpf,
    /// Rebuilds the committed library of `portkeep run --preload`
    Preload,
    /// Fails if what is generated and committed differs from a fresh build
    Check,
    Api(api::Arguments),
    Kernels(kernels::Arguments),
    Dist(dist::Arguments),
    Benchmarks(benchmarks::Arguments),
    /// Prints how many instructions the verifier walked for each of Portkeep's BPF programs
    Verified {
        /// Where they are pinned
        #[arg(default_value = "/sys/fs/bpf/portkeep")]
        directory: PathBuf,
    },
}

fn main() -> ExitCode {
    let result = match Task::parse() {
        Task::Bpf => bpf::rebuild(),
        Task::Preload => preload::rebuild(),
        Task::Api(arguments) => api::run(&arguments),
        // What is quick first.
        Task::Check => api::check()
            .and_then(|()| preload::check())
            .and_then(|()| bpf::check()),
        Task::Kernels(arguments) => kernels::run(&arguments),
        Task::Dist(arguments) => dist::run(&arguments),
        Task::Benchmarks(arguments) => benchmarks::run(&arguments),
        Task::Verified { directory } => verified::print(&directory),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Fails if a committed file is not what a fresh build makes, for which there is a task.
fn require_fresh(path: &Path, fresh: &[u8], task: &str) -> Result<()> {
    let committed = fs::read(path).with_context(|| format!("reading {}", path.display()))?;
    if committed != fresh {
        bail!(
            "{} differs from a fresh build\nHint: run `cargo xtask {task}` and commit the result",
            path.display()
        );
    }
    Ok(())
}

/// The top of the repository.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}
