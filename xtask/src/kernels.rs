//! Portkeep's tests on Debian's kernels, in emulated machines: `cargo xtask kernels`.

mod image;
mod machine;
mod package;
mod target;

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use nix::fcntl::{Flock, FlockArg};

use crate::{command, root};
use image::{Image, find_program};
use package::Kernel;
use target::{Built, Target};

/// Boots Debian's kernels in emulated machines and runs tests there
///
/// First enables Portkeep, which shows whether the verifier takes the programs, and prints how many
/// instructions it walked for each.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Series of kernels; the newest that apt-get offers of each is booted
    #[arg(default_values = ["6.1", "6.12"])]
    versions: Vec<String>,
    /// Only enable Portkeep
    #[arg(long, conflicts_with = "targets")]
    no_tests: bool,
    /// Modules to load besides, after those that they depend on; may be missing
    #[arg(long, value_delimiter = ',')]
    modules: Vec<String>,
    /// Programs of this machine to have there
    #[arg(long, value_delimiter = ',')]
    programs: Vec<String>,
    /// Test targets, all of their tests or those with FILTER in their names; PACKAGE is
    /// portkeep-tests unless given
    #[arg(
        last = true,
        value_name = "[PACKAGE/]TARGET[::FILTER]",
        default_values = ["errors", "enforcement", "lifetime", "input", "privilege", "persistent"]
    )]
    targets: Vec<Target>,
}

/// Fails if a test failed on any of the kernels, after all have been tried.
pub fn run(arguments: &Arguments) -> Result<()> {
    command::run(Command::new(root().join("scripts/set-up")).arg("kernels"))?;
    let directory = std::path::absolute(root().join("target/kernels"))?;
    fs::create_dir_all(&directory).with_context(|| format!("making {}", directory.display()))?;
    // Two runs may go side by side, if not with the same kernel.
    let _alone = arguments
        .versions
        .iter()
        .map(|version| lock(&directory, version))
        .collect::<Result<Vec<_>>>()?;
    let targets: &[Target] = if arguments.no_tests {
        &[]
    } else {
        &arguments.targets
    };
    let built = target::build(targets)?;
    let mut failed = Vec::new();
    for version in &arguments.versions {
        let kernel = Kernel::newest(version, &directory)?;
        println!("\n== {kernel}");
        let start = Instant::now();
        let image = directory.join(format!("{version}.image"));
        let result = try_on(&kernel, &built, &image, arguments);
        let seconds = start.elapsed().as_secs();
        match result {
            Ok(()) => println!("== {kernel}: passed after {seconds} s"),
            Err(error) => {
                println!("== {kernel}: {error:#}, after {seconds} s");
                failed.push(version.as_str());
            }
        }
    }
    if !failed.is_empty() {
        bail!("failed on {}", failed.join(" and "));
    }
    Ok(())
}

/// Keeps a second run from changing the files of this one.
fn lock(directory: &Path, version: &str) -> Result<Flock<File>> {
    let path = directory.join(format!("{version}.lock"));
    let file = File::create(&path).with_context(|| format!("making {}", path.display()))?;
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(locked) => Ok(locked),
        Err((_, nix::Error::EWOULDBLOCK)) => bail!("another run is using Linux {version}"),
        Err((_, error)) => Err(error).with_context(|| format!("locking {}", path.display())),
    }
}

fn try_on(kernel: &Kernel, built: &Built, image: &Path, arguments: &Arguments) -> Result<()> {
    let mut image = Image::create(image)?;
    image.add_command("portkeep", &built.portkeep)?;
    image.add_command("xtask", &std::env::current_exe().context("finding xtask")?)?;
    for program in &arguments.programs {
        image.add_command(program, &find_program(program)?)?;
    }
    for module in kernel.modules(&arguments.modules)? {
        image.add_module(&module)?;
    }
    for test in &built.tests {
        image.add_test(test)?;
    }
    machine::run(&kernel.image()?, &image.pack()?)
}
