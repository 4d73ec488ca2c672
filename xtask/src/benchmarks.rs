//! What Portkeep costs: `cargo xtask benchmarks`.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::{command, root};

/// Measures what Portkeep costs, as root, and writes docs/benchmarks.md and its plots
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Builds this revision, too, and compares with its kernel part
    #[arg(long, value_name = "REVISION")]
    baseline: Option<String>,
}

pub fn run(arguments: &Arguments) -> Result<()> {
    let mut bench = Command::new(env!("CARGO"));
    bench
        .current_dir(root())
        .args(["bench", "--package", "portkeep-cli", "--bench", "ratios"])
        .env("PORTKEEP_WRITE_BENCHMARKS", "1")
        .env_remove("PORTKEEP_BENCHMARKS");
    if let Some(revision) = &arguments.baseline {
        let baseline = Baseline::build(revision)?;
        bench
            .env("PORTKEEP_BASELINE", baseline.program)
            .env("PORTKEEP_BASELINE_REVISION", baseline.revision);
    }
    command::run(&mut bench)
}

struct Baseline {
    /// Its `portkeep`.
    program: PathBuf,
    /// Its short hash.
    revision: String,
}

impl Baseline {
    /// In a work tree below `target`, which stays for the next time.
    fn build(revision: &str) -> Result<Self> {
        let git = || {
            let mut git = Command::new("git");
            git.current_dir(root());
            git
        };
        let revision = command::output(git().args(["rev-parse", "--short", revision]))?;
        let revision = revision.trim().to_owned();
        let tree = std::path::absolute(root().join("target/baseline"))?;
        if tree.join("Cargo.toml").exists() {
            command::run(
                git()
                    .arg("-C")
                    .arg(&tree)
                    .args(["checkout", "--quiet", "--detach", &revision]),
            )?;
        } else {
            // Also where `cargo clean` has removed one that git still knows of.
            let add = ["worktree", "add", "--quiet", "--force", "--detach"];
            command::run(git().args(add).arg(&tree).arg(&revision))?;
        }
        // What is compared is the kernel part, which is in it as it was committed.
        let build = ["build", "--package", "portkeep-cli"];
        let mut cargo = Command::new(env!("CARGO"));
        cargo.current_dir(&tree).args(build);
        command::run(cargo.env("CARGO_TARGET_DIR", tree.join("target")))
            .with_context(|| format!("building {revision}"))?;
        Ok(Self {
            program: tree.join("target/debug/portkeep"),
            revision,
        })
    }
}
