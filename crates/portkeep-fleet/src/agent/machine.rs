use std::fs;
use std::path::{Path, PathBuf};

use portkeep_admin::Installation;
use portkeep_fleet_core::data::{Boot, Name};

use crate::error::{Error, Result};

/// This boot of this machine.
///
/// # Errors
///
/// If the machine has no ID.
pub fn boot() -> Result<Boot> {
    Ok(Boot {
        machine: name(Path::new("/etc/machine-id")).map_err(|error| {
            error
                .with_hint("systemd-machine-id-setup writes one; a copy of a machine needs its own")
        })?,
        boot: name(Path::new("/proc/sys/kernel/random/boot_id"))?,
    })
}

fn name(file: &Path) -> Result<Name> {
    let text = fs::read_to_string(file)
        .map_err(|error| Error::refused(format!("cannot read {}: {error}", file.display())))?;
    let name = text.trim().parse();
    name.map_err(|_| Error::refused(format!("{} has no ID", file.display())))
}

/// The installation of this machine, as the environment says and `portkeep` reads it.
pub fn installation() -> Installation {
    let path = |name: &str| std::env::var_os(name).map(PathBuf::from);
    Installation {
        cgroup: path("PORTKEEP_CGROUP"),
        bpffs: path("PORTKEEP_BPFFS"),
        state_dir: path("PORTKEEP_STATE_DIR"),
    }
}

/// Where the agent's socket is, and its lock: gone with the boot.
pub fn run_directory() -> PathBuf {
    installation().run_directory()
}

/// Where the agent remembers which engine it knows.
pub fn state_directory() -> PathBuf {
    installation().state_directory()
}
