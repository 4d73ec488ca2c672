//! `portkeep fleet`: becomes the separate program `portkeep-fleet`.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use clap::Args;
use portkeep_admin::Installation;

use crate::error::{Error, Kind, Result};

const PROGRAM: &str = "portkeep-fleet";

/// Reserve the same ports on many machines, on all of them or on none
///
/// This is the separate program portkeep-fleet, which is looked for beside this one and then in PATH.
/// `portkeep fleet --help` is its help.
#[derive(Debug, Args)]
#[command(disable_help_flag = true)]
pub struct Fleet {
    /// A command of portkeep-fleet with its arguments
    #[arg(
        value_name = "COMMAND",
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    arguments: Vec<OsString>,
}

impl Fleet {
    pub fn execute(&self, installation: &Installation) -> Result<ExitCode> {
        let mut command = Command::new(program());
        command.args(&self.arguments);
        let locations = [
            ("PORTKEEP_CGROUP", &installation.cgroup),
            ("PORTKEEP_BPFFS", &installation.bpffs),
            ("PORTKEEP_STATE_DIR", &installation.state_dir),
        ];
        for (variable, path) in locations {
            if let Some(path) = path {
                command.env(variable, path);
            }
        }
        // It returns only if it fails.
        let error = command.exec();
        Err(match error.kind() {
            io::ErrorKind::NotFound => Error::refused(format!("{PROGRAM} is not installed"))
                .with_hint(format!(
                    "cargo build --release -p {PROGRAM} builds it; put it beside portkeep or into PATH"
                )),
            _ => Error::new(Kind::Refused, format!("cannot start {PROGRAM}: {error}")),
        })
    }
}

fn program() -> PathBuf {
    let own = std::env::current_exe().unwrap_or_default();
    let beside = own.with_file_name(PROGRAM);
    match beside.is_file() {
        true => beside,
        false => PROGRAM.into(),
    }
}
