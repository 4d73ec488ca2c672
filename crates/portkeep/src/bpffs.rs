//! Where the kernel part's files are.
//!
//! The kernel part pins its objects in the folder `portkeep` of a bpf file system. One of them is
//! the list of reservations, a text that everybody may read.

use std::env;
use std::path::PathBuf;

use crate::mounts;

/// The environment variable that names the bpf file system, where it is not the first mounted one.
pub const VARIABLE: &str = "PORTKEEP_BPFFS";

/// The bpf file system: `$PORTKEEP_BPFFS` if it is set and not empty, else the first one in
/// `/proc/self/mounts`; `None` if this mount namespace has none.
pub fn mount_point() -> Option<PathBuf> {
    match env::var_os(VARIABLE) {
        Some(path) if !path.is_empty() => Some(path.into()),
        _ => mounts::read()
            .ok()?
            .into_iter()
            .find(|mount| mount.kind == "bpf")
            .map(|mount| mount.target),
    }
}

/// The list of reservations, `portkeep/reservations` in the bpf file system. The file need not
/// exist.
pub fn reservations_file() -> Option<PathBuf> {
    mount_point().map(|mount| mount.join("portkeep/reservations"))
}
