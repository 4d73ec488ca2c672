//! The kernel's settings about ports; ip-sysctl.rst describes them.

use std::fs;
use std::ops::RangeInclusive;

use anyhow::{Context as _, anyhow};

/// The settings of this network namespace.
#[derive(Debug)]
pub struct Settings {
    /// `ip_local_port_range`: where automatic ports come from.
    pub automatic: RangeInclusive<u16>,
    /// `ip_local_reserved_ports`: ports that are never chosen automatically.
    protected: Vec<RangeInclusive<u16>>,
    /// `ip_unprivileged_port_start`: ports below it need CAP_NET_BIND_SERVICE.
    unprivileged_start: u32,
}

impl Settings {
    pub fn read() -> anyhow::Result<Self> {
        let automatic = setting("ip_local_port_range", |text| {
            let (low, high) = text.split_once(char::is_whitespace)?;
            Some(low.parse().ok()?..=high.trim().parse().ok()?)
        })?;
        let protected = setting("ip_local_reserved_ports", |text| {
            text.split(',')
                .filter(|part| !part.is_empty())
                .map(range)
                .collect()
        })?;
        let unprivileged_start = setting("ip_unprivileged_port_start", |text| text.parse().ok())?;
        Ok(Self {
            automatic,
            protected,
            unprivileged_start,
        })
    }

    pub fn is_automatic(&self, port: u16) -> bool {
        self.automatic.contains(&port)
    }

    pub fn is_protected(&self, port: u16) -> bool {
        self.protected.iter().any(|range| range.contains(&port))
    }

    pub fn is_privileged(&self, port: u16) -> bool {
        u32::from(port) < self.unprivileged_start
    }
}

fn setting<T>(name: &str, parse: impl Fn(&str) -> Option<T>) -> anyhow::Result<T> {
    let path = format!("/proc/sys/net/ipv4/{name}");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    parse(text.trim()).ok_or_else(|| anyhow!("{path} has an unknown form: {text:?}"))
}

/// A part of the reserved list: `8080` or `9000-9010`.
fn range(text: &str) -> Option<RangeInclusive<u16>> {
    let (start, end) = text.split_once('-').unwrap_or((text, text));
    Some(start.parse().ok()?..=end.parse().ok()?)
}
