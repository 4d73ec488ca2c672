//! Other programs, with what they say when they fail.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// Runs a program, which must succeed.
pub fn run(command: &mut Command) -> Result<()> {
    let program = command.get_program().to_owned();
    let status = command
        .status()
        .with_context(|| format!("running {}", program.display()))?;
    if !status.success() {
        bail!("{} failed: {status}", program.display());
    }
    Ok(())
}

/// Runs a program, which must succeed, and gives what it wrote to standard output.
pub fn output(command: &mut Command) -> Result<String> {
    let program = command.get_program().to_owned();
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("running {}", program.display()))?;
    if !output.status.success() {
        bail!("{} failed: {}", program.display(), output.status);
    }
    String::from_utf8(output.stdout)
        .with_context(|| format!("reading the output of {}", program.display()))
}
