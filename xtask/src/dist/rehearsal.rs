//! The same bytes again, from another directory and with another home of cargo.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::build::cargo_home;
use super::{Arguments, Settings};
use crate::{command, root};

/// Builds a copy of the working tree, and compares what was made.
pub fn compare(arguments: &Arguments, settings: &Settings, made: &[PathBuf]) -> Result<()> {
    println!("again, to compare the bytes");
    let place = settings.work.canonicalize()?.join("another/place");
    let (copy, home) = (place.join("source"), place.join("home"));
    if copy.exists() {
        fs::remove_dir_all(&copy).context("removing an old copy")?;
    }
    fs::create_dir_all(&copy)?;
    fs::create_dir_all(&home)?;
    // With its history of one commit, which `cargo xtask dist` lists files by.
    command::run(
        Command::new("sh")
            .current_dir(root())
            .args([
                "-c",
                "git ls-files -z --cached --others --exclude-standard | xargs -0 cp --parents -a -t \"$0\" &&
                 cd \"$0\" && git init --quiet && git add --all",
            ])
            .arg(&copy),
    )?;
    let configuration = cargo_home()?.join("config.toml");
    if configuration.exists() {
        fs::copy(configuration, home.join("config.toml")).context("copying cargo's settings")?;
    }
    let mut cargo = Command::new(env!("CARGO"));
    cargo
        .current_dir(&copy)
        .args(["run", "--quiet", "--package", "xtask", "--", "dist"])
        .args([
            "--output",
            "target/dist",
            "--revision",
            &settings.revision.to_string(),
        ])
        .env("CARGO_HOME", &home)
        .env("SOURCE_DATE_EPOCH", &settings.epoch)
        .env_remove("CARGO_TARGET_DIR");
    for architecture in &arguments.architectures {
        cargo.args(["--arch", &architecture.to_string()]);
    }
    for artifact in &arguments.artifacts {
        cargo.arg(format!("{artifact:?}").to_lowercase());
    }
    command::run(&mut cargo)?;
    let mut different = Vec::new();
    for path in made {
        let name = path.file_name().context("an artifact without a name")?;
        let again = copy.join("target/dist").join(name);
        if fs::read(path)? != fs::read(&again)? {
            different.push(format!("{} and {}", path.display(), again.display()));
        }
    }
    match different.as_slice() {
        [] => {
            println!("the same bytes in {} artifacts", made.len());
            Ok(())
        }
        _ => bail!("the bytes differ:\n{}", different.join("\n")),
    }
}
