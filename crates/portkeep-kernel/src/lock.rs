//! One installer at a time.

use std::fs::File;
use std::path::Path;

use crate::error::Error;
use crate::sys;

/// Held while pins are made, changed or removed; given back on drop.
#[derive(Debug)]
pub struct InstallLock(#[expect(dead_code, reason = "held, not read")] File);

impl InstallLock {
    /// Waits for other installers in the same BPF file system. The root directory of the file
    /// system is what is locked: it is there before the first pin and after the last.
    pub fn take(bpffs: &Path) -> Result<InstallLock, Error> {
        let root = File::open(bpffs).map_err(|error| Error::path("opening", bpffs, error))?;
        sys::lock(&root).map_err(|error| Error::path("locking", bpffs, error))?;
        Ok(InstallLock(root))
    }
}
