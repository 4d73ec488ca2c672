//! `portkeep fleet …`: starts `portkeep-fleet`, a program of its own, as git does.

use std::env;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Command;

use crate::error::{Error, Kind, Result};

const PROGRAM: &str = "portkeep-fleet";

/// Becomes the program, if the command line says so. It has its own options, help and exit statuses.
pub fn start_if_asked() -> Result<()> {
    let mut arguments = env::args_os().skip(1);
    if arguments.next().is_none_or(|first| first != "fleet") {
        return Ok(());
    }
    let error = Command::new(program()).args(arguments).exec();
    let error = match error.kind() {
        io::ErrorKind::NotFound => Error::new(Kind::Refused, format!("{PROGRAM} is not installed"))
            .with_hint(
                "it is a package of its own, as it brings the client of etcd; \
                 in the sources: cargo build --release -p portkeep-fleet",
            ),
        _ => Error::refused(format!("cannot start {PROGRAM}: {error}")),
    };
    Err(error)
}

/// The one that was installed with this command, else the one in PATH.
fn program() -> PathBuf {
    let own = env::current_exe().ok();
    let beside = own.and_then(|own| Some(own.parent()?.join(PROGRAM)));
    let beside = beside.filter(|program| program.exists());
    beside.unwrap_or_else(|| PROGRAM.into())
}
