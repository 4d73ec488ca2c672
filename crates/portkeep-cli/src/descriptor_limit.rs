//! The limit on descriptors, which held ports need many of.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// The limit as our caller set it.
#[derive(Debug, Clone, Copy)]
pub struct DescriptorLimit {
    soft: u64,
    hard: u64,
}

impl DescriptorLimit {
    /// Raises the soft limit to the hard one, and gives what is to be put back.
    pub fn raise() -> nix::Result<Self> {
        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
        Ok(Self { soft, hard })
    }

    /// Puts the limit back; async-signal-safe.
    pub fn restore(self) -> nix::Result<()> {
        setrlimit(Resource::RLIMIT_NOFILE, self.soft, self.hard)
    }
}
