//! The packages for other languages, by the script of each.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use super::tools::Tools;
use super::{Program, Settings, Shared, source};
use crate::command;

/// Those that are the same for every processor.
pub fn pack(settings: &Settings, tools: &Tools) -> Result<Vec<PathBuf>> {
    let output = fresh(settings, "bindings")?;
    let python = Python::set_up(tools)?;
    for language in ["python", "node", "go", "java"] {
        python.build(settings, language, &output, &[])?;
    }
    take(&output, settings)
}

/// The wheel with the static command, for one processor.
pub fn wheel(shared: &Shared<'_>, program: &Program) -> Result<PathBuf> {
    let Shared {
        settings, tools, ..
    } = *shared;
    let architecture = program.architecture;
    let output = fresh(settings, &format!("wheel-{architecture}"))?;
    let texts = fresh(settings, &format!("wheel-{architecture}-licenses"))?;
    fs::copy(&program.licenses, texts.join("LICENSES-THIRD-PARTY"))?;
    // A static program runs with any C library. pip of 2014 on knows these names.
    let platform = ["manylinux_2_17", "manylinux2014", "musllinux_1_1"]
        .map(|name| format!("{name}_{architecture}"))
        .join(".");
    let command = program.path.display().to_string();
    let environment = [
        ("KERNEL_SOURCE", shared.kernel_part.as_path()),
        ("LICENSES", &texts),
    ];
    Python::set_up(tools)?.build_with(
        settings,
        "python",
        &output,
        &[&command, &platform],
        &environment,
    )?;
    for entry in fs::read_dir(&output)? {
        let path = entry?.path();
        if !path.to_string_lossy().contains("linux") {
            fs::remove_file(path)?;
        }
    }
    let mut made = take(&output, settings)?;
    made.pop()
        .ok_or_else(|| anyhow::anyhow!("no wheel was made"))
}

/// An interpreter that has hatchling.
struct Python {
    program: PathBuf,
}

/// The bytes of wheels depend on it.
const HATCHLING: &str = "hatchling==1.27.0";

impl Python {
    fn set_up(tools: &Tools) -> Result<Self> {
        let program = tools.venv().join("bin/python");
        command::run(
            Command::new(&program)
                .args([
                    "-m",
                    "pip",
                    "install",
                    "--quiet",
                    "--disable-pip-version-check",
                ])
                .arg(HATCHLING),
        )?;
        Ok(Self { program })
    }

    fn build(
        &self,
        settings: &Settings,
        language: &str,
        output: &Path,
        arguments: &[&str],
    ) -> Result<()> {
        self.build_with(settings, language, output, arguments, &[])
    }

    fn build_with(
        &self,
        settings: &Settings,
        language: &str,
        output: &Path,
        arguments: &[&str],
        environment: &[(&str, &Path)],
    ) -> Result<()> {
        command::run(
            Command::new(source(&format!("bindings/{language}/build")))
                .arg(output)
                .args(arguments)
                .env("SOURCE_DATE_EPOCH", &settings.epoch)
                .env("PORTKEEP_BUILD_PYTHON", &self.program)
                .envs(environment.iter().copied()),
        )
    }
}

fn fresh(settings: &Settings, name: &str) -> Result<PathBuf> {
    let directory = settings.work.join("trees").join(name);
    if directory.exists() {
        fs::remove_dir_all(&directory)?;
    }
    fs::create_dir_all(&directory)?;
    Ok(directory)
}

/// Moves what was made to where artifacts go.
fn take(made: &Path, settings: &Settings) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(made)? {
        let path = entry?.path();
        let place = settings.output.join(path.file_name().unwrap_or_default());
        fs::copy(&path, &place)?;
        files.push(place);
    }
    files.sort();
    Ok(files)
}
