//! `portkeep disable`: remove the kernel part.

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::Args;
use portkeep_admin::{Installation, remove};

use crate::error::Result;
use crate::output::warn;

/// Remove the kernel part, and with it every reservation
///
/// Every program, map, pin and mount that Portkeep made is gone afterwards. Sockets that are bound
/// stay bound. This is also what removes an installation of another version. What is stored stays
/// stored, and comes back with `portkeep enable`.
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
        writeln!(io::stdout().lock(), "{words}")?;
        // After the removal: a store that cannot be understood must not be in its way.
        let left = installation.keeper().withdraw()?;
        if !left.is_empty() {
            warn(&[format!(
                "{left} stays in net.ipv4.ip_local_reserved_ports: the kernel takes 4095 bytes at \
                 once, and what others have there is longer"
            )]);
        }
        Ok(ExitCode::SUCCESS)
    }
}
