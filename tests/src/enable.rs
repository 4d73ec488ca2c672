//! The kernel part in a sandbox.

use portkeep_admin::{InstallOptions, Installation, Installed};

use crate::Sandbox;

/// The first port of the pool that [`enable`] sets, also the default outside tests.
pub const POOL_START: u16 = 61000;
/// The last port of the pool that [`enable`] sets.
pub const POOL_END: u16 = 65535;

/// Installs the kernel part at the sandbox's cgroup and bpffs, for trials to act under it. It goes
/// with the sandbox. Panics with the hint if it cannot be.
#[track_caller]
pub fn enable(sandbox: &Sandbox) -> Installed {
    enable_with(&options(sandbox))
}

/// [`enable`] with options changed from those that [`options`] gives, such as another pool.
#[track_caller]
pub fn enable_with(options: &InstallOptions) -> Installed {
    match portkeep_admin::install(options) {
        Ok(installed) => installed,
        Err(error) => panic!(
            "cannot install the kernel part: {error}; hint: {:?}",
            error.hint()
        ),
    }
}

/// What [`enable`] installs with.
#[must_use]
pub fn options(sandbox: &Sandbox) -> InstallOptions {
    InstallOptions {
        installation: installation(sandbox),
        pool: (POOL_START, POOL_END),
        ..InstallOptions::default()
    }
}

/// The sandbox's installation, as `remove` and `inspect` take it.
#[must_use]
pub fn installation(sandbox: &Sandbox) -> Installation {
    Installation {
        cgroup: Some(sandbox.cgroup().to_path_buf()),
        bpffs: Some(sandbox.bpffs().to_path_buf()),
        state_dir: Some(sandbox.state_dir().to_path_buf()),
    }
}
