//! The kernel's port settings; ip-sysctl.rst describes them.

use std::fs;
use std::ops::RangeInclusive;

use portkeep_admin::{PortSet, sysctl};

use crate::error::{Context as _, Error, Result};

/// The settings of this network namespace.
#[derive(Debug)]
pub struct Settings {
    /// `ip_local_port_range`: where automatic ports come from.
    pub automatic: RangeInclusive<u16>,
    /// `ip_local_reserved_ports`: ports that the kernel never chooses automatically.
    protected: PortSet,
    /// `ip_unprivileged_port_start`: ports below it need CAP_NET_BIND_SERVICE.
    unprivileged_start: u32,
}

impl Settings {
    pub fn read() -> Result<Self> {
        Ok(Self {
            automatic: sysctl::automatic_range()?,
            protected: sysctl::protected_ports()?,
            unprivileged_start: unprivileged_start()?,
        })
    }

    pub fn is_automatic(&self, port: u16) -> bool {
        self.automatic.contains(&port)
    }

    pub fn is_protected(&self, port: u16) -> bool {
        self.protected.contains(port)
    }

    pub fn is_privileged(&self, port: u16) -> bool {
        u32::from(port) < self.unprivileged_start
    }
}

fn unprivileged_start() -> Result<u32> {
    let path = "/proc/sys/net/ipv4/ip_unprivileged_port_start";
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {path}"))?;
    text.trim()
        .parse()
        .map_err(|_| Error::refused(format!("{path} has an unknown format: {text:?}")))
}
