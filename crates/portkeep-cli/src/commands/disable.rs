//! `portkeep disable`: remove the kernel part.

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::Args;
use portkeep_admin::{Installation, remove};

use crate::error::{Error, Result};
use crate::output::{after_printing, warn};

/// Remove the kernel part, and every reservation with it
///
/// Removes every program, map, pin and mount that Portkeep made, including those of another version.
/// Bound sockets stay bound. The store stays, and `portkeep enable` restores what it contains.
#[derive(Debug, Args)]
pub struct Disable {}

impl Disable {
    pub fn execute(&self, installation: &Installation) -> Result<ExitCode> {
        let removed = remove(installation)?;
        let words = if removed {
            "Portkeep is disabled"
        } else {
            "Portkeep was not enabled"
        };
        let printed = writeln!(io::stdout().lock(), "{words}").map_err(Error::from);
        // After the removal, so that an unreadable store does not prevent it.
        let left = installation.keeper().withdraw()?;
        if !left.is_empty() {
            warn(&[format!(
                "{left} stays in net.ipv4.ip_local_reserved_ports: the kernel accepts 4095 bytes at \
                 once, and the ports of others there take more"
            )]);
        }
        after_printing(printed, ExitCode::SUCCESS)
    }
}
